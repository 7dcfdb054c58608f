"""What other programs cannot read as it is here, and how it stands in a file: units, and names as characters."""

from __future__ import annotations

import re
from collections.abc import Hashable

import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu.errors import in_utf8

OWN_UNITS = "xinsitu_units"
"""Attribute that keeps the units of the data model where a file says others."""
CHARACTERS = "_chars"
"""Ending of a variable that holds names once more, as characters of a fixed number."""
NAMED = ("roi", "measurement")
"""Names along an axis that a reader needs to find anything."""
NX_ATTRIBUTES = ("NX_class", "default")
"""Attributes of a file that lead to its default plot."""
_STATES = "flag_values"
"""Attribute of states, one for each frame: bytes in memory, int32 in a file, as scipp has no bytes."""
_PIXEL = re.compile(r"\bpixels?\b")


def file_units(units: str) -> str:
    """Units as UDUNITS, on which CF stands, and scipp know them: a pixel is none, and counts as 1.

    Examples
    --------
    >>> file_units("pixel"), file_units("pixel/s"), file_units("counts"), file_units("1/pixel")
    ('1', '1/s', 'counts', '1')
    """
    told = _PIXEL.sub("1", units)
    return "1" if told == "1/1" else told


def to_file(dataset: xr.Dataset) -> xr.Dataset:
    """Return the Dataset with units that other programs take, and with names as characters beside the texts.

    MATLAB and Octave read no texts of variable length from netCDF.

    Examples
    --------
    >>> made = to_file(xr.Dataset(coords={"roi": ["WZ", "CTR"], "y": ("y", [3], {"units": "pixel"})}))
    >>> made.roi_chars.shape, made.y.attrs
    ((2, 3), {'units': '1', 'xinsitu_units': 'pixel'})
    """
    result = dataset.copy(deep=False)
    for name in result.variables:
        variable = result[name].variable
        if variable.dtype.kind in "UO" and variable.chunks is None:
            result[name] = variable.copy(data=_texts(variable.values))
            variable = result[name].variable
        units = variable.attrs.get("units")
        if isinstance(units, str) and (told := file_units(units)) != units:
            variable.attrs = {**variable.attrs, "units": told, OWN_UNITS: units}
        if _STATES in variable.attrs and variable.dtype == np.int8:
            result[name] = _states(result[name], np.int32)
    for name in NAMED:
        if name in result.coords and result[name].ndim == 1 and result[name].size and result[name].chunks is None:
            result[f"{name}{CHARACTERS}"] = _characters(name, result[name])
    return result


def encodable(text: str) -> str:
    r"""Return a text with escapes for what is not UTF-8, and for zeros, of which HDF5 has no text.

    Examples
    --------
    >>> encodable("a\0b")
    'a\\u0000b'
    """
    return in_utf8(text).replace("\0", "\\u0000")


def _texts(values: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """Return texts that are; others as they are."""
    told = [encodable(one) if isinstance(one, str) else one for one in values.ravel().tolist()]
    return values if told == values.ravel().tolist() else np.array(told, dtype=object).reshape(values.shape)


def _states(states: xr.DataArray, dtype: type[np.int8] | type[np.int32]) -> xr.Variable:
    values = np.asarray(states.attrs[_STATES], dtype=dtype)
    made = states.variable.astype(dtype)
    made.attrs = {**states.attrs, _STATES: values}
    made.encoding = {name: value for name, value in states.encoding.items() if name != "dtype"}
    return made


def _characters(name: str, texts: xr.DataArray) -> xr.Variable:
    attributes = {"long_name": f"names of {name} as characters (UTF-8)"}
    return xr.Variable((*texts.dims, f"{name}_length"), _letters(texts.values), attributes)


def _letters(texts: npt.NDArray[np.generic]) -> npt.NDArray[np.bytes_]:
    encoded = np.array([str(text).encode() or b"\0" for text in texts])
    return encoded.view("S1").reshape(len(encoded), encoded.dtype.itemsize)


def from_file(dataset: xr.Dataset) -> xr.Dataset:
    """Return the Dataset as the data model has it; what :func:`to_file` never touched stays as it is.

    Examples
    --------
    >>> series = xr.Dataset(coords={"roi": ["WZ", "CTR"], "y": ("y", [3], {"units": "pixel"})})
    >>> from_file(to_file(series)).identical(series)
    True
    """
    result = dataset.drop_vars([f"{name}{CHARACTERS}" for name in NAMED if f"{name}{CHARACTERS}" in dataset])
    for name in result.variables:
        if OWN_UNITS in result[name].attrs:
            result[name].attrs = own_attributes(result[name].attrs)
        if _STATES in result[name].attrs and result[name].dtype == np.int32:
            result[name] = _states(result[name], np.int8)
    result.attrs = {name: value for name, value in result.attrs.items() if name not in NX_ATTRIBUTES}
    return result


def own_attributes(attributes: dict[Hashable, object] | dict[str, object]) -> dict[str, object]:
    """Return the attributes of a variable with the units of the data model."""
    kept = {str(name): value for name, value in attributes.items() if name != OWN_UNITS}
    return kept | ({"units": attributes[OWN_UNITS]} if OWN_UNITS in attributes else {})
