"""Maps of reciprocal space over the detector, and vectors along one of its axes, from files."""

from __future__ import annotations

import os
import struct
import tokenize
import warnings
from typing import Literal

import h5py
import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu.errors import FrameError
from xinsitu.schema import describe

from .disk import ordinary
from .formats.header import MAX_PIXELS
from .formats.reading import read_frame, read_header
from .formats.safe_hdf5 import opened, refuse_outside_links
from .instruments import Instrument
from .recognition import instrument_or_generic

_TEXT = (".dat", ".txt", ".csv", ".asc")


def read_calibration(
    path: str | os.PathLike[str],
    detector: xr.Dataset | xr.DataArray | tuple[int, int] | None = None,
    *,
    axis: Literal["y", "x"] | None = None,
    transpose: bool = False,
    dataset: str | None = None,
    instrument: str | os.PathLike[str] | Instrument | None = None,
) -> xr.DataArray:
    """Read what detector pixels are in reciprocal space: a map over the detector, or a vector along one axis.

    Parameters
    ----------
    path
        Text (``.dat``, ``.txt``, ``.csv``): one row of numbers per detector row, blanks or commas between them, ``#``
        before comments; or ``.npy``, TIFF, EDF, CBF, HDF5 and NeXus.
    detector
        A measurement, its ``image``, or rows and columns of the detector; the map must fit them.
    axis
        Of a vector; None: the one whose length it has.
    transpose
        The file has the columns of the detector first, as the old scripts showed images.
    dataset
        Where in an HDF5 file; None: its only dataset with one or two dimensions.
    instrument
        As in :func:`~xinsitu.open_measurement`: one whose frames are mirrored mirrors the map too.

    Returns
    -------
    DataArray
        ``(y, x)`` on detector pixels, or ``(y)`` or ``(x)`` for a vector; as stored,
        sign and direction included. For :func:`~xinsitu.reciprocal_axis`.

    Raises
    ------
    FrameError
        The file cannot be read, does not fit the detector, or has values that are not finite.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     np.savetxt(f"{folder}/0884L.dat", [[1.4, 1.5, 1.6], [1.4, 1.5, 1.6]])
    ...     read_calibration(f"{folder}/0884L.dat", (2, 3)).values.tolist()
    [[1.4, 1.5, 1.6], [1.4, 1.5, 1.6]]
    """
    name = os.fspath(path)
    values = np.squeeze(_values(name, dataset))
    if values.ndim not in (1, 2) or values.dtype.kind not in "iuf" or not 0 < values.size <= MAX_PIXELS:
        raise FrameError(name, f"a calibration is a vector or a map of numbers, not {values.shape} {values.dtype}")
    if not np.isfinite(values).all():
        raise FrameError(name, f"{np.count_nonzero(~np.isfinite(values))} values of the calibration are not finite")
    values = values.T.astype(np.float64) if transpose else values.astype(np.float64)
    dims = _dims(name, values.shape, _shape(detector), axis)
    attributes = {"source": os.path.basename(name)}
    array = xr.DataArray(values, dims=dims, attrs=attributes)
    flips = {dim: turn for dim, turn in instrument_or_generic(instrument).flips.items() if dim in dims}
    array = array.isel(flips).assign_coords({dim: np.arange(array.sizes[dim]) for dim in dims})
    return array.assign_coords({dim: describe(array[dim], dim) for dim in dims})


def _shape(detector: xr.Dataset | xr.DataArray | tuple[int, int] | None) -> tuple[int, int] | None:
    """Rows and columns of the detector, as far as they are known."""
    if detector is None or isinstance(detector, tuple):
        return detector
    last = {dim: detector[dim].values[-1] + 1 if dim in detector.coords else detector.sizes[dim] for dim in ("y", "x")}
    return int(last["y"]), int(last["x"])


def _dims(
    path: str, found: tuple[int, ...], detector: tuple[int, int] | None, axis: Literal["y", "x"] | None
) -> tuple[str, ...]:
    """Axes of a calibration, which has to cover the detector."""
    if len(found) == 1 and axis is not None:
        if detector is not None and found[0] < detector["yx".index(axis)]:
            raise FrameError(path, f"{found[0]} values along {axis}, the detector has {detector['yx'.index(axis)]}")
        return (axis,)
    if len(found) == 1:
        if detector is None or detector[0] == detector[1] or found[0] not in detector:
            raise FrameError(
                path, f"a vector of {found[0]} values: say of which detector it is; its length must be that of one axis"
            )
        return ("y",) if found[0] == detector[0] else ("x",)
    if detector is None or all(own >= needed for own, needed in zip(found, detector, strict=True)):
        return "y", "x"
    said = f"the map has {found[0]} rows and {found[1]} columns, the detector {detector[0]} and {detector[1]}"
    if found[::-1] == detector:
        said += ": it is stored with the columns of the detector first; give transpose=True"
    raise FrameError(path, said)


def _values(path: str, dataset: str | None) -> npt.NDArray[np.generic]:
    try:
        if h5py.is_hdf5(ordinary(path)):
            return _hdf5(path, dataset)
        if path.lower().endswith(_TEXT):
            return _text(path)
        if path.lower().endswith(".npy"):
            return np.asarray(np.load(path, allow_pickle=False))
        return read_frame(path, read_header(path))
    except FrameError:
        raise
    except (OSError, ValueError, KeyError, EOFError, struct.error, tokenize.TokenError) as error:
        raise FrameError(path, f"the calibration cannot be read ({error})") from None


def _text(path: str) -> npt.NDArray[np.float64]:
    """Rows of numbers with blanks, tabs or commas between them."""
    with open(path, encoding="utf-8-sig") as file:
        lines = [line.replace(",", " ").replace("D", "E") for line in file]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that there is nothing is said in our own words
        return np.loadtxt(lines, ndmin=2)


def _hdf5(path: str, wanted: str | None) -> npt.NDArray[np.generic]:
    try:
        refuse_outside_links(path, inside=os.path.dirname(os.path.abspath(path)))
    except ValueError as error:
        raise FrameError(path, str(error).removeprefix(f"{path}: ")) from None
    with opened(path) as file:
        names: list[str] = []
        file.visititems(lambda name, item: names.append(name) if _is_map(item) else None)
        place = wanted if wanted is not None else names[0] if len(names) == 1 else None
        if place is None or not _is_map(file.get(place)):
            said = f"no map at {wanted}" if wanted is not None else "which dataset is the calibration is not clear"
            raise FrameError(path, f"{said}; give one with dataset=: {', '.join(names[:20]) or 'there is none'}")
        return np.asarray(file[place][()])


def _is_map(item: object) -> bool:
    return isinstance(item, h5py.Dataset) and item.ndim in (1, 2) and item.dtype.kind in "iuf"
