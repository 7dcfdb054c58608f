"""The data model: every name, unit, flag and encoding, once.

A *measurement* is an ``xr.Dataset`` with dims ``(time, y, x)``, a *ROI time series* one with dims ``(time, roi)``.
Functions that make a variable call :func:`describe` so that its attributes are always set anew: xarray keeps
attributes through arithmetic, and a kept ``units`` is a wrong one.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np

from .defaults import FURTHER as FURTHER
from .epoch import TIME_ENCODING as TIME_ENCODING
from .epoch import UNKNOWN_ZONE as UNKNOWN_ZONE
from .epoch import epoch_seconds as epoch_seconds
from .epoch import knows_utc as knows_utc
from .epoch import microseconds_from_time as microseconds_from_time
from .epoch import mid_exposure as mid_exposure
from .epoch import time_from_microseconds as time_from_microseconds
from .errors import SchemaError

if TYPE_CHECKING:  # the help of the command line needs names and units, and no arrays
    import xarray as xr

CONVENTIONS = "CF-1.11"
COUNTS = "counts"
"""Units of an image that still holds what the detector counted."""
RATIO = "1"
"""Units of an image that was divided by a background of its own."""
PIXEL = "pixel"
REFERENCE = "normalise_reference"
"""Attribute of a ROI time series: the value of the monitor that its intensities were brought to."""

DETECTOR_SHAPE = "detector_shape"
"""Attribute of an image: rows and columns of the whole detector, as JSON."""
FIRST_FRAME = "first_frame"
"""Encoding of an image: which frames these are, by which those are known that are given as their own dark."""
APPLIED = "corrections"
"""Attribute of an image that lists the steps it has been through."""

Xarray = TypeVar("Xarray", "xr.DataArray", "xr.Dataset")


@dataclass(frozen=True)
class Quantity:
    """What a variable is called and measured in."""

    units: str | None
    long_name: str
    errors: bool = False


OWN_AXES = ("across", "along")
QUANTITIES: Mapping[str, Quantity] = {
    # measurement
    "image": Quantity(COUNTS, "detector frames"),
    "y": Quantity(PIXEL, "detector row"),
    "x": Quantity(PIXEL, "detector column"),
    "frame": Quantity(None, "number in the file name"),
    "scan": Quantity(None, "SPEC scan number in the file name"),
    "stamp": Quantity(None, "time text as found in the header"),
    "frame_status": Quantity(None, "state of the frame"),
    "exposure_time": Quantity("s", "exposure time"),
    "mask": Quantity(None, "pixels not to be used"),
    "time_uncertainty": Quantity("s", "half width of the interval that holds the true time"),
    "sample": Quantity(None, "sample"),
    "measurement": Quantity(None, "measurement"),
    "monitor": Quantity(COUNTS, "incident beam monitor"),
    # ROI time series
    "intensity": Quantity(COUNTS, "intensity", errors=True),
    "background": Quantity(COUNTS, "background under the ROI", errors=True),
    "maximum": Quantity(COUNTS, "highest pixel", errors=True),
    "maximum_y": Quantity(PIXEL, "row of the highest pixel"),
    "maximum_x": Quantity(PIXEL, "column of the highest pixel"),
    "com_y": Quantity(PIXEL, "centre of mass along y", errors=True),
    "com_x": Quantity(PIXEL, "centre of mass along x", errors=True),
    "fwhm_y": Quantity(PIXEL, "full width at half maximum along y", errors=True),
    "fwhm_x": Quantity(PIXEL, "full width at half maximum along x", errors=True),
    **{f"com_{way}": Quantity(PIXEL, f"centre of mass {way} the ROI", errors=True) for way in OWN_AXES},
    **{f"fwhm_{way}": Quantity(PIXEL, f"full width at half maximum {way} the ROI", errors=True) for way in OWN_AXES},
    "mean": Quantity(COUNTS, "mean pixel", errors=True),
    "minimum": Quantity(COUNTS, "lowest pixel"),
    "std": Quantity(COUNTS, "standard deviation of the pixels"),
    "brightest": Quantity(COUNTS, "mean of the brightest pixels"),
    "sigma_y": Quantity(PIXEL, "root of the second moment along y", errors=True),
    "sigma_x": Quantity(PIXEL, "root of the second moment along x", errors=True),
    "skewness_y": Quantity("1", "skewness along y", errors=True),
    "skewness_x": Quantity("1", "skewness along x", errors=True),
    "n_brightest": Quantity(None, "number of the brightest pixels"),
    "profile_y": Quantity(COUNTS, "profile along y", errors=True),
    "profile_x": Quantity(COUNTS, "profile along x", errors=True),
    "median_bias": Quantity("1", "part that the median added to the intensity"),
    "n_valid": Quantity(None, "number of valid pixels"),
    "n_saturated": Quantity(None, "number of saturated pixels"),
    "fraction": Quantity("1", "fraction of the intensity", errors=True),
    "quality": Quantity(None, "reasons not to trust a value"),
    "remarks": Quantity(None, "what there is to say of the numbers"),
    "roi": Quantity(None, "region of interest"),
    "roi_shape": Quantity(None, "shape of the ROI, where it is no rectangle"),
    "roi_y0": Quantity(PIXEL, "first row of the ROI"),
    "roi_y1": Quantity(PIXEL, "row behind the last one of the ROI"),
    "roi_x0": Quantity(PIXEL, "first column of the ROI"),
    "roi_x1": Quantity(PIXEL, "column behind the last one of the ROI"),
    "scale_errors": Quantity("1", "relative standard error shared by all intensities of a segment"),
    "frame_scale_errors": Quantity("1", "relative standard error shared by all intensities of a frame"),
    "level_errors": Quantity(COUNTS, "standard error of the level that was subtracted from all pixels of a frame"),
    # sample
    "segment": Quantity(None, "part of the series with one attenuation; -1 in a transition"),
    "attenuation_factor": Quantity("1", "what intensities were multiplied by"),
    "attenuation_factor_errors": Quantity("1", "standard error of what intensities were multiplied by"),
    "intensity_measured": Quantity(COUNTS, "intensity before the attenuation was corrected"),
}

OTHER_TIME = "other_time"
"""Dimension of frames with which each frame is compared."""
POSITIONS = ("com_y", "com_x", "fwhm_y", "fwhm_x")
"""What a change of attenuation never changes."""
CURVES = ("intensity", *POSITIONS)
"""Quantities of a ROI that are drawn, compared and put into tables, in their order."""
SHARED_ERRORS = ("scale_errors", "frame_scale_errors", "level_errors")
"""Coordinates of a ROI time series that are known once its frames are measured."""
SCALED = ("intensity", "background", "maximum", "mean", "minimum", "std", "brightest", "profile_y", "profile_x")
"""What a change of attenuation multiplies."""


class FrameStatus(enum.IntEnum):
    """State of one frame, stored as CF ``flag_values`` in ``frame_status``."""

    OK = 0
    MISSING = 1
    TRUNCATED = 2
    UNREADABLE = 3
    WRONG_SHAPE = 4
    WRONG_DTYPE = 5
    SUSPECT_ZERO_TAIL = 6
    CHANGED_SINCE_OPEN = 7
    STALE_TIME = 8
    DUPLICATE_NUMBER = 9
    NO_STAMP = 10
    PENDING = 11
    DOUBTFUL_TIME = 12
    ZERO_BACKGROUND = 13


class Quality(enum.IntFlag):
    """Reasons not to trust a value, stored as CF ``flag_masks`` in ``quality``."""

    SATURATED = 1
    LOW_COUNTS = 2
    MASKED_PIXELS = 4
    PEAK_AT_EDGE = 8
    HALF_LEVEL_NOT_CROSSED = 16
    IN_TRANSITION = 32
    FRAME_IN_MOTION = 64
    NO_BEAM = 128
    COUNT_RATE_HIGH = 256
    FIT_FAILED = 512
    FRAME_FAULT = 1024
    ZERO_BACKGROUND = 2048
    PEAK_LOST = 4096
    NOISY_PROFILE = 8192
    ERRORS_DOUBTFUL = 16384
    MEDIAN_BIAS = 32768
    OUTLIER = 65536
    BAD_FRAME = 131072
    POOR_FIT = 262144
    BACKGROUND_DOUBTFUL = 524288
    NEAR_CHANGE = 1048576


LEFT_OUT = Quality.BAD_FRAME | Quality.OUTLIER
"""Flags of frames that take no part in factors, fits and figures; the file keeps their values."""


def flag_attributes(flags: type[enum.IntEnum] | type[enum.IntFlag]) -> dict[str, object]:
    """CF attributes of a flag variable.

    Examples
    --------
    >>> flag_attributes(FrameStatus)["flag_meanings"].split()[:3]
    ['ok', 'missing', 'truncated']
    """
    kind, dtype = ("flag_masks", np.int32) if issubclass(flags, enum.IntFlag) else ("flag_values", np.int8)
    members = list(flags)
    return {
        kind: np.array([member.value for member in members], dtype=dtype),
        "flag_meanings": " ".join(str(member.name).lower() for member in members),
    }


_FLAGS: Mapping[str, type[enum.IntEnum] | type[enum.IntFlag]] = {"frame_status": FrameStatus, "quality": Quality}


def errors_name(name: str) -> str:
    """Name of the variable with the standard errors of another one (the NeXus rule).

    Examples
    --------
    >>> errors_name("com_y")
    'com_y_errors'
    """
    return f"{name}_errors"


def describe(
    variable: xr.DataArray, name: str, *, units: str | None = None, long_name: str | None = None
) -> xr.DataArray:
    """Return the variable with its name and with the attributes of the data model, and no others.

    Parameters
    ----------
    variable
        Any DataArray.
    name
        A name of :data:`QUANTITIES`, or such a name with ``_errors`` behind it.
    units, long_name
        Instead of the data model's own, for what depends on the image (``counts`` or ``1``) or the instrument.

    Raises
    ------
    SchemaError
        The data model has no such name.

    Examples
    --------
    >>> import xarray as xr
    >>> describe(xr.DataArray([1.0], dims="time"), "com_y").attrs
    {'units': 'pixel', 'long_name': 'centre of mass along y'}
    """
    result = variable.copy(deep=False).rename(name)
    result.attrs = attributes_of(name, units=units, long_name=long_name)
    return result


def attributes_of(name: str, *, units: str | None = None, long_name: str | None = None) -> dict[str, object]:
    """Return the attributes that the data model gives to a variable; parameters and errors as :func:`describe`.

    Examples
    --------
    >>> attributes_of("com_y_errors")
    {'units': 'pixel', 'long_name': 'standard error of the centre of mass along y'}
    """
    base = name.removesuffix("_errors")
    quantity = QUANTITIES.get(name) or QUANTITIES.get(base)
    if quantity is None:
        raise SchemaError(f"the data model has no variable {name!r}; its names are {', '.join(QUANTITIES)}")
    attributes: dict[str, object] = {}
    if (chosen := units if units is not None else quantity.units) is not None:
        attributes["units"] = chosen
    text = long_name or quantity.long_name
    plain = name in QUANTITIES or "standard error" in text  # it says so already
    attributes["long_name"] = text if plain else f"standard error of the {text}"
    if name in _FLAGS:
        attributes |= flag_attributes(_FLAGS[name])
    return attributes


def check_kind(value: object, kind: Literal["DataArray", "Dataset"]) -> None:
    """Raise one sentence where this is not the kind of xarray's objects that is wanted.

    Raises
    ------
    SchemaError
        It is the other kind, a path, or anything else.

    Examples
    --------
    >>> check_kind("0884.nc", "Dataset")
    Traceback (most recent call last):
    ...
    xinsitu.errors.SchemaError: a Dataset is wanted, not the path '0884.nc': read it with read_results first
    """
    import xarray as xr

    if isinstance(value, getattr(xr, kind)):
        return
    if isinstance(value, xr.Dataset):
        raise SchemaError("one quantity is wanted as a DataArray, e.g. series.intensity, not the whole Dataset")
    if isinstance(value, xr.DataArray):
        raise SchemaError(f"the whole Dataset is wanted, not its one variable {value.name!r}")
    if isinstance(value, str | os.PathLike):
        raise SchemaError(f"a {kind} is wanted, not the path {os.fspath(value)!r}: read it with read_results first")
    raise SchemaError(f"a {kind} of xarray is wanted, not {type(value).__name__}")


def check_data(data: object, *, measured: bool = False) -> None:
    """Raise one sentence where this is no Dataset or DataArray of frames, or of what was ``measured`` in them.

    Raises
    ------
    SchemaError
        It is an array without names, a path, ROIs, or anything else.
    """
    import xarray as xr

    if isinstance(data, xr.DataArray | xr.Dataset):
        return
    if measured:
        return check_kind(data, "Dataset")
    if isinstance(data, str | os.PathLike):
        raise SchemaError(f"frames are wanted, not the path {os.fspath(data)!r}: open it with open_measurement first")
    kind = type(data).__name__
    if isinstance(data, np.ndarray) or hasattr(data, "__dask_graph__"):
        raise SchemaError(
            f"frames are wanted as a DataArray, not as {kind}: xr.DataArray(frames, dims=('time', 'y', 'x'))"
        )
    swapped = "; ROIs come behind the frames" if "Roi" in kind or isinstance(data, list | tuple) else ""
    raise SchemaError(f"frames are wanted as a Dataset or DataArray, not {kind}{swapped}")


def require(data: xr.DataArray | xr.Dataset, *, dims: Iterable[str] = (), variables: Iterable[str] = ()) -> None:
    """Raise one :class:`~xinsitu.errors.SchemaError` that names everything that is missing.

    Examples
    --------
    >>> import xarray as xr
    >>> require(xr.DataArray([0], dims="time", name="image"), dims=("time", "y", "x"))
    Traceback (most recent call last):
    ...
    xinsitu.errors.SchemaError: 'image' has dims (time) and lacks the dims y, x
    """
    import xarray as xr

    check_data(data, measured="y" not in dims)
    lacks = [dim for dim in dims if dim not in data.dims]
    absent = [] if isinstance(data, xr.DataArray) else [name for name in variables if name not in data.variables]
    if not lacks and not absent:
        return
    what = repr(data.name) if isinstance(data, xr.DataArray) else "the Dataset"
    faults = ([f"the dims {', '.join(lacks)}"] if lacks else []) + (
        [f"the variables {', '.join(absent)}"] if absent else []
    )
    raise SchemaError(f"{what} has dims ({', '.join(map(str, data.dims))}) and lacks {' and '.join(faults)}")


def image_of(data: xr.DataArray | xr.Dataset) -> xr.DataArray:
    """Return the frames of a measurement: the Dataset's ``image``, or the DataArray itself; dims ``(time, y, x)``.

    Raises
    ------
    SchemaError
        There is no ``image``, or it lacks a dimension.
    """
    import xarray as xr

    check_data(data)
    if isinstance(data, xr.Dataset):
        require(data, variables=("image",))
        data = data["image"]
    require(data, dims=("time", "y", "x"))
    flat = all(len(one.dims) < 2 for one in data.coords.variables.values())  # then none has an order, and each costs
    return data.transpose("time", "y", "x", transpose_coords=not flat)


# -- axes -------------------------------------------------------------------------------------------------------------


def axis_name(data: xr.DataArray | xr.Dataset, axis: str) -> str:
    """Return what the instrument calls an axis of the detector: ``hk`` or ``l`` at BL11XU, else ``y`` or ``x``.

    Frames say it in the ``long_name`` of their coordinate, ROI time series in that of their centre of mass.

    Examples
    --------
    >>> import xarray as xr
    >>> com = describe(xr.DataArray([1.0], dims="time"), "com_y", long_name="centre of mass along hk")
    >>> axis_name(com.to_dataset(), "y"), axis_name(com.to_dataset(), "x")
    ('hk', 'x')
    """
    import xarray as xr

    if axis in data.coords:
        name = str(data[axis].attrs.get("long_name", axis))
        return axis if name == QUANTITIES[axis].long_name else name
    com = f"com_{axis}"
    if isinstance(data, xr.Dataset) and com in data:
        return str(data[com].attrs.get("long_name", axis)).rsplit(" along ", 1)[-1]
    return axis
