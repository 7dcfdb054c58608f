"""What is explored: a measurement, a sample whose measurements follow each other, or a Dataset of the user's own."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import xarray as xr

from xinsitu.errors import FrameError, LayoutError, SchemaError, XinsituWarning
from xinsitu.io.measurement import open_measurement, select
from xinsitu.recipe import Correcting, Reading
from xinsitu.schema import FrameStatus, image_of, require

PathLike = str | os.PathLike[str]
PER_FRAME = ("frame", "scan", "stamp", "frame_status", "exposure_time", "measurement")
"""Coordinates that measurements joined for the explorer keep, one value per frame."""


@dataclass(frozen=True)
class Source:
    """Frames, and how to come to them again.

    Parameters
    ----------
    data
        All frames on one time axis, dims ``(time, y, x)``, lazy.
    name
        For people.
    folders
        Folders of the measurements, in time order; empty for a Dataset of the user's own.
    parts
        The measurements as they were opened, in the same order.
    reading, correcting
        How they were opened and are corrected: what a recipe needs.
    left_out
        Measurements that could not be joined, and why.
    reopen
        Opens everything again, with what has come since.
    """

    data: xr.Dataset
    name: str
    folders: tuple[Path, ...] = ()
    parts: tuple[xr.Dataset, ...] = ()
    reading: Reading = field(default_factory=Reading)
    correcting: Correcting = field(default_factory=Correcting)
    left_out: tuple[str, ...] = ()
    reopen: Callable[[], Source] | None = field(default=None, compare=False)

    @property
    def several(self) -> bool:
        """Whether several measurements are joined."""
        return len(self.parts) > 1


def open_source(
    source: PathLike | xr.Dataset | xr.DataArray | xr.DataTree,
    *,
    reading: Reading | None = None,
    correcting: Correcting | None = None,
) -> Source:
    """Open what is to be explored.

    Parameters
    ----------
    source
        Folder of a measurement or of a sample, or data in memory or lazy.
    reading, correcting
        For folders; see :mod:`xinsitu.recipe`.

    Raises
    ------
    LayoutError
        The folder holds neither frames nor measurements.
    """
    reading, correcting = reading or Reading(), correcting or Correcting()
    if isinstance(source, xr.DataTree):
        parts = [node.to_dataset() for node in source.subtree if "image" in node]
        return _joined(parts, name=str(source.name or "sample"), reading=reading, correcting=correcting)
    if isinstance(source, xr.DataArray):
        source = source.to_dataset(name="image") if source.name != "image" else source.to_dataset()
    if isinstance(source, xr.Dataset):
        require(source, dims=("time", "y", "x"), variables=("image",))
        folder = source.encoding.get("source")
        folders = (Path(str(folder)),) if folder else ()
        name = str(source.attrs.get("source", "frames"))
        return Source(source, name, folders, (source,), reading, correcting)
    return _folder(Path(source), reading, correcting)


def _folder(path: Path, reading: Reading, correcting: Correcting, *, bad: str = "nan") -> Source:
    """Open a folder; frames that are known to be bad become NaN, or are left out."""

    def again() -> Source:
        with warnings.catch_warnings():  # what is bad now may still be being written: the next look says more
            warnings.filterwarnings("ignore", ".*left out, .* files in all", XinsituWarning)
            return _folder(path, reading, correcting, bad="skip")

    try:
        part = _open(path, reading, bad)
    except LayoutError as fault:
        names = [entry.name for entry in os.scandir(path) if entry.is_dir()] if path.is_dir() else []
        wanted, _ = select(tuple(names))
        if not wanted:
            raise
        parts = [found for name in wanted if (found := _measurement(path / name, reading, bad)) is not None]
        if not parts:
            raise fault from None
        return _joined(parts, name=path.resolve().name, reading=reading, correcting=correcting, reopen=again)
    return Source(
        part, str(part.attrs.get("source", path.name)), (path.resolve(),), (part,), reading, correcting, (), again
    )


def _open(folder: Path, reading: Reading, bad: str) -> xr.Dataset:
    """Open a measurement, also one with bad frames; those that are still being written come when they are whole."""
    try:
        return open_measurement(folder, **reading.to_dict())
    except FrameError:
        if reading.on_error != "raise":
            raise
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*left out, .* files in all", XinsituWarning)
        scan = open_measurement(folder, **{**reading.to_dict(), "on_error": bad})
    whole = scan["frame_status"].values != FrameStatus.PENDING
    return scan if whole.all() else scan.isel(time=np.flatnonzero(whole))


def _measurement(folder: Path, reading: Reading, bad: str) -> xr.Dataset | None:
    """One measurement of a sample; None for a folder without frames."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*comes from the default instrument", XinsituWarning)
            return _open(folder, reading, bad)
    except LayoutError:
        return None


def _joined(
    parts: Sequence[xr.Dataset],
    *,
    name: str,
    reading: Reading,
    correcting: Correcting,
    reopen: Callable[[], Source] | None = None,
) -> Source:
    """Put measurements behind each other in time; one on another detector is left out."""
    parts = sorted((part for part in parts if part.sizes["time"]), key=lambda part: part["time"].values[0])
    if not parts:
        raise SchemaError(f"{name}: there are no frames to explore")
    fits = [part for part in parts if _shape(part) == _shape(parts[0])]
    left_out = tuple(
        f"{part['measurement'].item()}: frames of {part.sizes['y']} x {part.sizes['x']} pixels"
        for part in parts
        if _shape(part) != _shape(parts[0])
    )
    folders = tuple(Path(str(part.encoding["source"])) for part in fits if "source" in part.encoding)
    data = fits[0] if len(fits) == 1 else join(fits)
    return Source(data, name, folders, tuple(fits), reading, correcting, left_out, reopen)


def _shape(part: xr.Dataset) -> tuple[int, int]:
    return part.sizes["y"], part.sizes["x"]


def join(parts: Sequence[xr.Dataset]) -> xr.Dataset:
    """Measurements of one detector on one time axis, lazily; coordinates that not all have stay behind."""
    common = [name for name in PER_FRAME if all(name in part.coords for part in parts)]
    image = xr.concat(
        [_bare(part, common) for part in parts], "time", join="override", coords="minimal", compat="override",
        combine_attrs="override",
    )  # fmt: skip
    image.attrs = {
        name: value for name, value in parts[0].attrs.items() if all(part.attrs.get(name) == value for part in parts)
    }
    if "sample" in parts[0].coords:
        image = image.assign_coords(sample=parts[0]["sample"].variable)
    return image


def _bare(part: xr.Dataset, names: Sequence[str]) -> xr.Dataset:
    image = image_of(part)
    per_frame = {
        name: ("time", np.broadcast_to(np.asarray(part[name].values), (part.sizes["time"],)).copy()) for name in names
    }
    bare = image.reset_coords(drop=True).assign_coords(
        {"y": image["y"].variable, "x": image["x"].variable, **per_frame}
    )
    return bare.to_dataset(name="image")
