"""Maps over the detector from files: masks of bad pixels, and calibrations in reciprocal space."""

from __future__ import annotations

import os
import struct
import tokenize
from collections.abc import Callable
from typing import Literal

import h5py
import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu.digits import counted
from xinsitu.errors import FrameError, LayoutError, warn
from xinsitu.schema import describe, require

from .disk import ordinary
from .formats.hdf5_links import opened, refuse_outside_links
from .formats.header import MAX_PIXELS, FrameFault, faults_of
from .formats.reading import read_frame, read_header
from .instruments import Instrument
from .nexus import detector_groups, item_of
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
        raise FrameError(
            name, f"{counted(np.count_nonzero(~np.isfinite(values)), 'value is', 'values are')} not finite"
        )
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
    require(detector, dims=("y", "x"))
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
    if not any(line.partition("#")[0].strip() for line in lines):  # NumPy would warn; it is said in our own words
        return np.empty((0, 0))
    return np.loadtxt(lines, ndmin=2)


def _hdf5(path: str, wanted: str | None) -> npt.NDArray[np.generic]:
    try:
        refuse_outside_links(path, inside=os.path.dirname(os.path.abspath(path)))
    except ValueError as error:
        raise FrameError(path, str(error).removeprefix(f"{path}: ")) from None
    with faults_of(path), opened(path) as file:
        names: list[str] = []
        file.visititems(lambda name, item: names.append(name) if _is_map(item) else None)
        place = wanted if wanted is not None else names[0] if len(names) == 1 else None
        if place is None or not _is_map(file.get(place)):
            said = f"no map at {wanted}" if wanted is not None else "which dataset is the calibration is not clear"
            raise FrameError(path, f"{said}; give one with dataset=: {', '.join(names[:20]) or 'there is none'}")
        return np.asarray(file[place][()])


def _is_map(item: object) -> bool:
    return isinstance(item, h5py.Dataset) and item.ndim in (1, 2) and item.dtype.kind in "iuf"


_PLACES = (
    "entry/instrument/detector/pixel_mask",
    "entry/instrument/detector/detectorSpecific/pixel_mask",
    "entry1/instrument/detector/pixel_mask",
    "pixel_mask",
    "mask",
    "entry/data/mask",
    "entry/mask/data",
)
_NAMES = ("pixel_mask", "detectorSpecific/pixel_mask", "mask")
MEANINGS = {0: "gap", 1: "dead", 2: "under responding", 3: "over responding", 4: "noisy", 6: "cluster", 8: "user"}
"""Bits of a NeXus ``pixel_mask``; any of them makes a pixel bad."""


def read_mask(
    path: str | os.PathLike[str],
    *,
    bits: int | None = None,
    instrument: str | os.PathLike[str] | Instrument | None = None,
) -> xr.DataArray:
    """Read a mask.

    Parameters
    ----------
    path
        NeXus or HDF5 (``pixel_mask``), TIFF, EDF, CBF, ``.npy``, or Fit2D ``.msk``.
    bits
        For a NeXus mask, the bits that make a pixel bad, as an integer, e.g. ``0b11`` for gaps and dead pixels; None:
        all. In other files every pixel that is not zero is bad, with or without ``bits``.
    instrument
        As in :func:`~xinsitu.open_measurement`: one whose frames are mirrored mirrors the mask too.

    Returns
    -------
    xr.DataArray
        ``mask (y, x)``, bool, true where a pixel is bad; for ``Correction(mask=...)``.

    Raises
    ------
    FrameError
        The file cannot be read, holds no mask, or refers to other files.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     np.save(f"{folder}/bad.npy", np.array([[0, 1], [0, 0]]))
    ...     read_mask(f"{folder}/bad.npy").values
    array([[False,  True],
           [False, False]])
    """
    if not isinstance(path, str | os.PathLike):
        raise LayoutError(f"a mask is read from a path, not {path!r}")
    name = os.fspath(path)
    values = stored_mask(name)
    if values.ndim != 2 or values.dtype.kind not in "biuf" or not 0 < values.size <= MAX_PIXELS:
        raise FrameError(name, f"a mask has rows and columns of numbers, not shape {values.shape} {values.dtype}")
    whole = values if values.dtype.kind in "iu" and name.lower().endswith(_HDF5) and bits is not None else None
    bad = values != 0 if whole is None else (whole.astype("int64") & int(bits or 0)) != 0
    attributes = {"long_name": "pixels not to be used", "source": os.path.basename(name)}
    mask = xr.DataArray(bad, dims=("y", "x"), name="mask", attrs=attributes).isel(
        instrument_or_generic(instrument).flips
    )
    mask = mask.assign_coords(y=np.arange(bad.shape[0]), x=np.arange(bad.shape[1]))
    return mask.assign_coords({axis: describe(mask[axis], axis) for axis in ("y", "x")})


_HDF5 = (".h5", ".hdf5", ".hdf", ".nxs", ".nx", ".nc")


def stored_mask(path: str) -> npt.NDArray[np.generic]:
    """Return a mask as it stands in its file, levels or bits included."""
    lower = path.lower()
    try:
        if lower.endswith(".npy"):
            return _numpy(path)
        if lower.endswith(".msk"):
            return _fit2d(path)
        if lower.endswith(_HDF5):
            return _hdf5_mask(path)
        return _frame(path)
    except FrameError:
        raise
    except (OSError, ValueError, KeyError, struct.error) as error:
        raise FrameError(path, f"the mask cannot be read ({error})") from None


def _numpy(path: str) -> npt.NDArray[np.generic]:
    try:
        return np.asarray(np.load(ordinary(path), mmap_mode="r", allow_pickle=False))
    except Exception as error:  # a broken header gives SyntaxError, TokenError, EOFError, OverflowError, ...
        raise FrameError(path, f"the mask cannot be read ({error})") from error


def _frame(path: str) -> npt.NDArray[np.generic]:
    """Pixels of a TIFF, EDF or CBF file."""
    return read_frame(path, read_header(path))


def _fit2d(path: str) -> npt.NDArray[np.generic]:
    """Fit2D mask: 1024 bytes of header that begin with ``MASK``, then one bit per pixel, rows padded to 32 bits."""
    with open(ordinary(path), "rb") as file:
        head, body = file.read(1024), file.read()
    if head[0:16:4] != b"MASK":
        raise FrameFault(path, "this is no Fit2D mask")
    columns, rows = struct.unpack_from("<II", head, 16)
    padded = -(-columns // 32) * 32
    if not 0 < rows * columns <= MAX_PIXELS or len(body) < rows * padded // 8:
        raise FrameFault(path, f"a Fit2D mask of {rows} x {columns} pixels in {len(body)} bytes")
    bits = np.unpackbits(np.frombuffer(body, "u1", rows * padded // 8), bitorder="little")
    return bits.reshape(rows, padded)[:, :columns]


def _hdf5_mask(path: str) -> npt.NDArray[np.generic]:
    try:
        refuse_outside_links(path, inside=os.path.dirname(os.path.abspath(path)))
    except ValueError as error:
        raise FrameError(path, str(error).removeprefix(f"{path}: ")) from None
    with faults_of(path), opened(path) as file:
        found = pixel_mask(file, say=lambda remark: warn(f"{path}: {remark}"))
    if found is None:
        raise FrameError(path, f"no mask at {', '.join(_PLACES[:4])} or {_PLACES[4]}")
    return found


def pixel_mask(root: h5py.Group, place: str = "", say: Callable[[str], None] = warn) -> npt.NDArray[np.generic] | None:
    """Mask ``(y, x)`` of an open HDF5 file, or of one entry, where one stands in the usual places.

    Its bits are :data:`MEANINGS`. Of a mask per frame, ``(n, y, x)``, those of all frames are taken together.

    Parameters
    ----------
    root
        The file, or an entry in it.
    place
        Where the frames stand, which tells one detector from another.
    say
        Takes what a person should know of the mask.
    """
    known = (item_of(root, one) for one in _PLACES) if root.name == "/" else iter(())
    named = (item_of(group, name) for group in detector_groups(root, place) for name in _NAMES)
    for dataset in (*named, *known):
        if not isinstance(dataset, h5py.Dataset):
            continue
        if dataset.ndim in (2, 3) and dataset.dtype.kind in "biu" and dataset.size:
            return np.asarray(dataset[()]) if dataset.ndim == 2 else _of_all_frames(dataset, say)
        say(f"{dataset.name} is no mask (y, x), but {dataset.shape} {dataset.dtype}; not used")
    return None


def _of_all_frames(dataset: h5py.Dataset, say: Callable[[str], None]) -> npt.NDArray[np.generic]:
    """Return the bits that a mask ``(n, y, x)`` has in any frame."""
    together = np.asarray(dataset[0])
    changes = False
    for frame in range(1, dataset.shape[0]):
        one = np.asarray(dataset[frame])
        changes = changes or bool((one != together).any())
        together = together | one
    if changes:
        say("its pixel mask changes from frame to frame; a pixel that is bad in one of them is taken as bad in all")
    return together
