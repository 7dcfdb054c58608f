"""Measurements that were normalised by their own mean monitor are brought to one reference before they are joined."""

from __future__ import annotations

from collections.abc import Sequence

import xarray as xr

from xinsitu.errors import StitchError
from xinsitu.schema import SCALED, errors_name

REFERENCE = "normalise_reference"
"""Attribute of a ROI time series: the value of the monitor that its intensities were brought to."""


def at_one_reference(datasets: Sequence[xr.Dataset]) -> list[xr.Dataset]:
    """Bring intensities that were normalised to different references to that of the first one.

    Raises
    ------
    StitchError
        Some were normalised and some were not.

    Examples
    --------
    >>> series = [xr.Dataset({"intensity": ("time", [4.0])}, attrs={REFERENCE: value}) for value in (2.0, 1.0)]
    >>> [float(one.intensity[0]) for one in at_one_reference(series)]
    [4.0, 8.0]
    """
    known = [data.attrs.get(REFERENCE) for data in datasets]
    if all(reference is None for reference in known):
        return list(datasets)
    if any(reference is None for reference in known):
        raise StitchError("some of the series are normalised by a monitor and some are not: they have no common scale")
    references = [float(str(reference)) for reference in known]
    first = references[0]
    return [_scaled(data, first / own, first) for data, own in zip(datasets, references, strict=True)]


def _scaled(data: xr.Dataset, factor: float, reference: float) -> xr.Dataset:
    """Multiply what a change of the beam multiplies."""
    names = [name for base in SCALED for name in (base, errors_name(base)) if name in data.data_vars]
    scaled = {name: (data[name] * factor).assign_attrs(data[name].attrs) for name in names} if factor != 1 else {}
    return data.assign(scaled).assign_attrs({REFERENCE: reference})
