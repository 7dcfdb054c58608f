"""Which pixels are not to be used: mask files of any kind, and what the pixels themselves say.

A mask is ``(y, x)`` and true where a pixel is bad. Detectors flag pixels in the frames too: PILATUS writes -1 in gaps
and -2 in bad pixels, which read as 2^32 - 1 and 2^32 - 2 where somebody stored them unsigned.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable

import h5py
import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu.errors import FrameError, LayoutError, warn
from xinsitu.schema import describe

from .disk import ordinary
from .formats.header import MAX_PIXELS, FrameFault
from .formats.reading import read_frame, read_header
from .formats.safe_hdf5 import opened, refuse_outside_links
from .instruments import Instrument
from .nexus import detector_groups, item_of
from .recognition import instrument_or_generic

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
    values = _values(name)
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


def _values(path: str) -> npt.NDArray[np.generic]:
    lower = path.lower()
    try:
        if lower.endswith(".npy"):
            return _numpy(path)
        if lower.endswith(".msk"):
            return _fit2d(path)
        if lower.endswith(_HDF5):
            return _hdf5(path)
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


def _hdf5(path: str) -> npt.NDArray[np.generic]:
    try:
        refuse_outside_links(path, inside=os.path.dirname(os.path.abspath(path)))
    except ValueError as error:
        raise FrameError(path, str(error).removeprefix(f"{path}: ")) from None
    with opened(path) as file:
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
