"""Results on disk: netCDF4, which is HDF5."""

from __future__ import annotations

import json
import os
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr

import xinsitu
from xinsitu import schema
from xinsitu.defaults import frames_per_block
from xinsitu.errors import SchemaError, TimeError, XinsituError, in_utf8, warn
from xinsitu.variables import as_frames

from .conventions import encodable, from_file, to_file
from .disk import refuse_other_format, write_whole
from .formats.hdf5_links import refuse_outside_links
from .formats.header import disc_fault
from .guard import output_path
from .nxdata import ENGINE, as_netcdf

PathLike = str | os.PathLike[str]


def write_results(
    results: xr.Dataset | xr.DataTree,
    path: PathLike,
    *,
    overwrite: bool = False,
    recipe: Mapping[str, Any] | None = None,
) -> Path:
    """Write ROI time series, a sample or a tree of them as netCDF4; opens with xarray, h5py and every netCDF tool.

    The file is built in memory, written under a temporary name, synced, read back and only then named: it is there
    whole or not at all. Lazy results are computed in one pass.

    Parameters
    ----------
    results
        Dataset with dims ``(time, roi)``, or a DataTree of such.
    path
        Of the file to write.
    overwrite
        Replace a file of this name.
    recipe
        How the results were made, kept as JSON text in the attribute ``recipe``.

    Returns
    -------
    Path
        Where the file is.

    Raises
    ------
    ResultExists
        The file is there and ``overwrite`` is false.
    SchemaError
        The name promises another format, such as ``.csv``.
    LayoutError
        It would lie in a folder that holds frames.
    OSError
        The disc is full or the folder cannot be written; what was there is untouched.

    Examples
    --------
    >>> import tempfile
    >>> time = schema.time_from_microseconds([0, 1_000_000])
    >>> series = xr.Dataset({"com_y": ("time", [1.0, 2.0])}, coords={"time": time})
    >>> path = write_results(series, Path(tempfile.mkdtemp()) / "a.nc")
    >>> read_results(path).com_y.values
    array([1., 2.])
    """
    refuse_other_format(path)
    path = output_path(path, overwrite=overwrite)
    return write_whole(path, as_netcdf(loaded(results, recipe)), overwrite=overwrite)


def loaded(results: xr.Dataset | xr.DataTree, recipe: Mapping[str, Any] | None = None) -> xr.Dataset | xr.DataTree:
    """Return results in memory, as they are written, with what they were made by."""
    if isinstance(results, xr.DataTree):
        tree: xr.DataTree = results.map_over_datasets(storable).compute()
        tree.attrs = {**_attributes(results.attrs), **provenance(recipe)}
        return tree
    schema.check_kind(results, "Dataset")
    return storable(results).assign_attrs(provenance(recipe)).compute()


def provenance(recipe: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the attributes that say what made a file: versions, and the recipe as JSON text."""
    versions = {
        "xinsitu_version": xinsitu.__version__,
        "versions": json.dumps({"numpy": np.__version__, "xarray": xr.__version__}),
    }
    return versions if recipe is None else {**versions, "recipe": in_utf8(json.dumps(recipe, ensure_ascii=False))}


def storable(dataset: xr.Dataset) -> xr.Dataset:
    """Return the Dataset with attributes and encodings that netCDF can hold, the data untouched and lazy.

    Attributes become str, int, float or JSON text; times become UNIX epoch seconds (float64); coordinates get no
    fill value; ``ancillary_variables`` name errors and flags (CF 3.4); units and names as :mod:`.conventions` has them.

    Examples
    --------
    >>> storable(xr.Dataset(attrs={"box": {"y": [0, 2]}, "nothing": None, "done": True})).attrs["box"]
    '{"y": [0, 2]}'
    """
    result = dataset.copy(deep=False)
    result.attrs = {"Conventions": schema.CONVENTIONS, **_attributes(dataset.attrs)}
    for name in result.variables:
        variable = result[name].variable
        variable.attrs = _attributes(variable.attrs)
        variable.encoding = _encoding(result, name)
    for name in result.data_vars:
        companions = [other for other in (schema.errors_name(str(name)), "quality") if other in result.data_vars]
        if schema.errors_name(str(name)) in companions:
            result[name].attrs["ancillary_variables"] = " ".join(companions)
    return to_file(result)


def _encoding(dataset: xr.Dataset, name: Hashable) -> dict[str, Any]:
    if dataset[name].dtype.kind == "M":
        return dict(schema.TIME_ENCODING)
    return {"_FillValue": None} if name in dataset.coords and dataset[name].dtype.kind in "iufb" else {}


def _attributes(attributes: Mapping[Hashable, Any]) -> dict[str, Any]:
    return {str(name): _attribute(value) for name, value in attributes.items() if value is not None}


def _attribute(value: object) -> str | int | float | np.ndarray[Any, Any]:
    if isinstance(value, bool | np.bool_):
        return int(value)
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, int | float):
        return value
    if isinstance(value, np.generic):
        item: str | int | float = value.item()
        return item
    if isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind in "iuf":
        return value
    return in_utf8(json.dumps(value, ensure_ascii=False, default=_json_default))


def _json_default(value: object) -> object:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if hasattr(value, "to_dict"):
        return value.to_dict()
    return str(value)


def read_results(path: PathLike) -> xr.Dataset:
    """Read what :func:`write_results` or ``xinsitu parse`` wrote.

    ROI time series are loaded; a stack of frames stays lazy. Times are rounded to whole microseconds.

    Raises
    ------
    SchemaError
        The file is no netCDF/HDF5 file, refers to other files, or holds no ``time``; the message names it.

    Warns
    -----
    XinsituWarning
        What was said of the numbers when they were made, and is kept with them as ``remarks``.

    Examples
    --------
    >>> import tempfile
    >>> series = xr.Dataset({"intensity": (("time", "roi"), np.ones((4, 1)))}, {"roi": ["WZ"]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write_results(series, f"{folder}/time1.nc")
    ...     read_results(path).intensity.sel(roi="WZ").sum().item()
    4.0
    """
    path = Path(path)
    refuse_outside_links(path)
    try:
        lazy = xr.open_dataset(path, engine=ENGINE)
    except Exception as fault:  # noqa: BLE001 - whatever a library throws at a damaged file is a fault of that file
        raise _damaged(path, fault) from None
    if "time" not in lazy.dims and (groups := _groups(path)):
        raise SchemaError(f"{path}: holds several measurements ({', '.join(groups)}); open it with xr.open_datatree")
    if "time" not in lazy.dims:
        raise SchemaError(f"{path}: holds no time axis, so it is no result of xinsitu")
    try:
        result = _loaded(lazy)
    except TimeError as fault:
        raise TimeError(f"{path}: {fault}") from None
    except XinsituError:
        raise
    except Exception as fault:  # noqa: BLE001 - as above
        lazy.close()
        raise _damaged(path, fault) from None
    result = _with_sensible_documents(from_file(result), path)
    for text in remarks_of(result):
        warn(f"{path}: {text}")
    return result


_DOCUMENTS: Mapping[str, type | None] = {
    "rois": None, "recipe": None, "correction": None, "events": dict, "sources": str,
}  # fmt: skip
"""Attributes that hold a JSON object, or a list of what; without one of them a result loses no number."""


_SUMS = ("checksum", "filter returned failure")
"""Words of HDF5 where a check sum is another one; what leads nowhere because of it is an AttributeError of h5netcdf."""


def holds_series(result: xr.Dataset) -> bool:
    """Whether a result is a time series of ROIs, neither frames nor the fits of peaks, which have flags for each axis.

    Examples
    --------
    >>> holds_series(xr.Dataset({"intensity": (("time", "roi"), [[1.0]])}))
    True
    """
    return {"time", "roi"} <= set(result.dims) and "quality_y" not in result.data_vars


def _with_sensible_documents(result: xr.Dataset, path: Path) -> xr.Dataset:
    """Leave out what is no JSON of its kind, and say so; refuse a result that hides how it was scaled."""
    if "attenuation" in result.attrs:
        found = _document(result.attrs["attenuation"])
        if not isinstance(found, dict) or not {"changes", "made", "scaled"} <= found.keys():
            raise SchemaError(f"{path}: its attribute 'attenuation' does not say how it was corrected; make it again")
    lost = [name for name, of in _DOCUMENTS.items() if name in result.attrs and not _holds(result.attrs[name], of)]
    if not lost:
        return result
    warn(f"{path}: {', '.join(lost)} of its attributes make no sense and are left out")
    kept = result.copy()
    kept.attrs = {name: value for name, value in result.attrs.items() if name not in lost}
    return kept


def _holds(text: object, of: type | None) -> bool:
    """Whether a text is a JSON object, or a list of what it should be one of."""
    found = _document(text)
    if of is None:
        return isinstance(found, dict)
    return isinstance(found, list) and all(isinstance(one, of) for one in found)


def _document(text: object) -> Any:  # noqa: ANN401 - whatever a file holds
    try:
        return json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return None


def _damaged(path: Path, fault: Exception) -> SchemaError:
    text = " ".join(str(fault).split())
    told = f"cannot be read as netCDF ({text})"
    if isinstance(fault, AttributeError) or any(word in text for word in _SUMS):
        told = "is damaged: its bytes are not those that were written"
    return SchemaError(f"{path}: {disc_fault(fault) or told}")


def _loaded(lazy: xr.Dataset) -> xr.Dataset:
    """Return the Dataset in memory, but for a stack of frames, with exact times."""
    if "image" in lazy:
        image = as_frames(in_chunks(lazy["image"])).variable
        result = lazy.drop_vars("image").load().assign(image=image)
    else:
        with lazy:
            result = lazy.load()
    for name in (name for name in result.coords if result[name].dtype.kind == "M"):
        exact = schema.time_from_microseconds(schema.microseconds_from_time(result[name].values))
        result = result.assign_coords({name: (result[name].dims, exact, result[name].attrs)})
    return result


def remarks_of(results: xr.Dataset) -> list[str]:
    r"""Return what was said of the numbers when they were made, one sentence each; of lazy ones nothing is known yet.

    Examples
    --------
    >>> remarks_of(xr.Dataset(coords={"remarks": "one frame is NaN\nfew counts"}))
    ['one frame is NaN', 'few counts']
    """
    said = results.coords.get("remarks")
    return [] if said is None or said.chunks is not None or said.ndim else str(said.values).splitlines()


_SAID = schema.Quality.FRAME_FAULT | schema.Quality.ZERO_BACKGROUND
"""Flags that remarks speak of."""


def flags_of(results: xr.Dataset) -> list[str]:
    """Return in words which values are flagged, a sentence for each flag, what remarks speak of left out.

    Examples
    --------
    >>> quality = xr.DataArray([[1, 0], [1, 2]], dims=("time", "roi"), coords={"roi": ["WZ", "ZB"]})
    >>> flags_of(xr.Dataset({"quality": quality}))
    ['saturated: WZ in 2 of 2 frames', 'low_counts: ZB in 1 of 2 frames']
    """
    if "quality" not in results or set(results["quality"].dims) != {"time", "roi"}:
        return []
    flags = results["quality"].transpose("time", "roi")
    values, names = flags.values.astype(np.int64), flags["roi"].values.tolist()
    said = _SAID if remarks_of(results) else 0
    texts = []
    for flag in schema.Quality:
        counts = ((values & flag) > 0).sum(axis=0).tolist()
        where = [f"{name} in {count}" for name, count in zip(names, counts, strict=True) if count]
        if where and not flag & said:
            texts.append(f"{str(flag.name).lower()}: {', '.join(where)} of {len(values)} frames")
    return texts


def _groups(path: Path) -> list[str]:
    with h5py.File(path, "r") as file:
        return [name for name, item in file.items() if isinstance(item, h5py.Group)]


def in_chunks(image: xr.DataArray) -> xr.DataArray:
    """Return frames in chunks of whole ones."""
    return image.chunk({"time": frames_per_block(image.dtype.itemsize * image.sizes["y"] * image.sizes["x"])})
