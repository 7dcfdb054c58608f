"""What is explored: a measurement, a sample whose measurements follow each other, or a Dataset of the user's own."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import dask
import numpy as np
import xarray as xr

from xinsitu.defaults import NOT_MEASURED
from xinsitu.errors import FrameError, LayoutError, SchemaError, XinsituError, collected, without
from xinsitu.io.discover import holds_images, look
from xinsitu.io.growing_folder import AT_ONCE, GrowingFolder
from xinsitu.io.measurement import select
from xinsitu.io.options import NO_ZONE
from xinsitu.recipe import Correcting, Reading
from xinsitu.schema import FrameStatus, image_of, require

from .unchanged import Known

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
        Measurements that could not be opened or joined, what its name calls a calibration, and why.
    reopen
        Opens everything again, with what has come since.
    kept
        Frames, from the first one on, whose files are as they were when it was opened before; None: nobody knows.
    trouble
        What is wrong with the folder now: frames of it are shown that are no longer there.
    states
        Name, size and modification time of the file of each frame; empty where frames are not files of their own.
    """

    data: xr.Dataset
    name: str
    folders: tuple[Path, ...] = ()
    parts: tuple[xr.Dataset, ...] = ()
    reading: Reading = field(default_factory=Reading)
    correcting: Correcting = field(default_factory=Correcting)
    left_out: tuple[str, ...] = ()
    reopen: Callable[[], Source] | None = field(default=None, compare=False)
    kept: int | None = None
    trouble: str = ""
    states: tuple[tuple[object, ...], ...] = field(default=(), repr=False, compare=False)

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
        parts = [_at_hand(node.to_dataset()) for node in source.subtree if "image" in node]
        return _joined(parts, name=str(source.name or "sample"), reading=reading, correcting=correcting)
    if isinstance(source, xr.DataArray):
        source = source.to_dataset(name="image") if source.name != "image" else source.to_dataset()
    if isinstance(source, xr.Dataset):
        require(source, dims=("time", "y", "x"), variables=("image",))
        source = _at_hand(source)
        folders, reading = origin([source], reading)
        return Source(source, str(source.attrs.get("source", "frames")), folders, (source,), reading, correcting)
    return _folder(Path(source), reading, correcting)


def _at_hand(data: xr.Dataset) -> xr.Dataset:
    """Return data whose numbers per frame are in memory: ``open_dataset(chunks={})`` makes them lazy, as the pixels."""
    pixels = {"y", "x"}
    lazy = {name: one for name, one in data.variables.items() if one.chunks is not None and not pixels & set(one.dims)}
    loaded = dask.compute(lazy)[0]
    coords = {name: loaded.pop(name) for name in lazy if name in data.coords}
    found = data.assign_coords(coords).assign(loaded)
    found.encoding = data.encoding
    return found


def _folder(path: Path, reading: Reading, correcting: Correcting, *, bad: str = "nan") -> Source:
    """Open a folder; frames that are known to be bad become NaN, or are left out."""

    def again() -> Source:
        with without(
            r"left out, .* files in all"
        ):  # what is bad now may still be being written: the next look says more
            return _folder(path, reading, correcting, bad="skip")

    try:
        return _opened(path, reading, correcting, again)
    except FrameError:
        if reading.on_error != "raise":
            raise
    with without(r"left out, .* files in all"):
        return _opened(path, replace(reading, on_error=bad), correcting, again)


def _opened(path: Path, reading: Reading, correcting: Correcting, again: Callable[[], Source]) -> Source:
    """Open a measurement, or all measurements of a sample, in one way."""
    try:
        part = _open(path, reading)
    except LayoutError as fault:
        wanted, others = _measured(path) if path.is_dir() else ([], ())
        if not wanted:
            raise
        found = [_measurement(path / name, reading) for name in wanted]
        parts = [one for one in found if not isinstance(one, str)]
        if not parts:
            raise fault from None
        others = (*others, *(why for why in found if isinstance(why, str) and why))
        joined = _joined(
            parts, name=path.resolve().name, reading=reading, correcting=correcting, reopen=again, others=others
        )
        return replace(joined, reopen=_GrowingSample(path, joined)) if reading.on_error != "nan" else joined
    if not part.sizes["time"]:
        raise LayoutError(f"{path}: no frame is whole yet; with --follow (follow=True) the explorer waits for one")
    first = Source(
        part, str(part.attrs.get("source", path.name)), (path.resolve(),), (part,), reading, correcting, (), again
    )
    return replace(first, reopen=_Growing(path, first)) if reading.on_error != "nan" else first


class _Growing:
    """Opens a folder again as ``xinsitu watch`` looks at it: where nothing has come, however much is there, at once.

    What is known of the frames stays known; a folder that cannot be watched (HDF5 files) is opened anew each time.
    """

    def __init__(self, path: Path, first: Source) -> None:
        self._path, self.last, self._anew = path, first, first.reopen
        self._frames: GrowingFolder | None = None
        self._come: list[str] = []
        self._names: frozenset[str] = frozenset()
        self._shown, self._known = (-1, -1), Known()

    def __call__(self) -> Source:
        if not self._path.exists():
            raise LayoutError(f"{self._path}: is no longer there; what is shown was read before")
        try:
            return self._looked()
        except LayoutError:
            if self._anew is None:
                raise
        new, before = self._anew(), self.last.data  # files of many frames
        self.last = replace(new, reopen=self, kept=self._known.kept(before, new.data))
        return self.last

    def _looked(self) -> Source:
        first = self._frames is None
        if self._frames is None:
            bad = "skip" if self.last.reading.on_error == "raise" else self.last.reading.on_error
            frames = GrowingFolder(self._path, replace(self.last.reading, on_error=bad))
            new, self._frames = frames.settle(), frames
        else:
            new = self._frames.look()
            if len(new) >= AT_ONCE:  # a folder that is copied comes faster than a detector counts
                new += self._frames.settle()
        self._come += new  # until it was opened: a frame that is written anew meanwhile spoils it for all
        kept: int | None = self.last.data.sizes["time"]
        if self._come or not self._names.isdisjoint(self._frames.given_up):  # one that was shown is none any more
            snapshot = self._frames.in_order(self._shown)
            with without(r"left out, .* files in all"):  # what is bad now may still be being written
                part, names = self._frames.open(snapshot)
            self._shown = max(self._shown, *(file.number for file in snapshot.files[-1:]))
            if first:
                kept = None
            elif self._come:
                kept = self._frames.tail(self._come, 0).place
            known = snapshot.states
            alike = len(names) == part.sizes["time"]
            states = tuple((name, known.get(name)) for name in names) if alike else ()
            self.last, self._come = replace(self.last, data=part, parts=(part,), reopen=self, states=states), []
            self._names = frozenset(names)
        gone = self._frames.removed & self._names
        said = f"{self._path}: {len(gone)} of the frames that are shown are no longer there" if gone else ""
        self.last = replace(self.last, kept=kept, trouble=said)
        return self.last


class _GrowingSample:
    """Opens a sample again: of measurements that are known only what has come, and those that have begun since."""

    def __init__(self, path: Path, first: Source) -> None:
        self._path, self._last = path, first
        self._grown: dict[str, _Growing] = {}
        self._parts: list[xr.Dataset] = list(first.parts)
        for folder, part in zip(first.folders, first.parts, strict=True):
            self._begin(folder, part)

    def _begin(self, folder: Path, part: xr.Dataset) -> None:
        first = replace(self._last, data=part, name=folder.name, folders=(folder,), parts=(part,), left_out=())
        self._grown[folder.name] = _Growing(folder, replace(first, reopen=lambda: self._anew(first)))

    def _anew(self, one: Source) -> Source:
        """Open a measurement as a whole: HDF5 files, whose frames are not files of their own."""
        reading = one.reading if one.reading.on_error != "raise" else replace(one.reading, on_error="skip")
        with without(r"left out, .* files in all"):  # what is bad now may still be being written
            part = _measurement(one.folders[0], reading)
        return self._grown[one.name].last if isinstance(part, str) else replace(one, data=part, parts=(part,))

    def __call__(self) -> Source:
        wanted, others = _measured(self._path)
        for name in wanted:
            if name not in self._grown:
                part = _measurement(self._path / name, self._last.reading)
                if isinstance(part, str):
                    others = (*others, part) if part else others
                elif part.sizes["time"]:
                    self._begin((self._path / name).resolve(), part)
        opened = [self._grown[name]() for name in wanted if name in self._grown]
        parts, trouble = [one.data for one in opened], "; ".join(one.trouble for one in opened if one.trouble)
        last = self._last = replace(self._last, trouble=trouble)
        if {id(part) for part in parts} == {id(part) for part in self._parts}:
            self._last = replace(last, kept=last.data.sizes["time"])
            return self._last
        self._parts = parts
        self._last = _joined(
            parts, name=last.name, reading=last.reading, correcting=last.correcting, reopen=self, others=others
        )
        kept = _kept(last.parts, self._last.parts, {id(one.data): one for one in opened})
        self._last = replace(self._last, kept=kept, trouble=trouble)
        return self._last


def _kept(before: Sequence[xr.Dataset], parts: Sequence[xr.Dataset], opened: Mapping[int, Source]) -> int | None:
    """Frames, from the first one on, that are as they were; None where that is not known of the first that grew."""
    kept = 0
    for old, new in zip(before, parts, strict=False):
        size = new.sizes["time"]
        if (own := size if old is new else opened[id(new)].kept) is None:
            return None
        kept += own
        if not own == size == old.sizes["time"]:  # behind it all have other places
            break
    return kept


def _measured(path: Path) -> tuple[list[str], tuple[str, ...]]:
    """Folders of a sample that are taken for its measurements, and which are said to calibrate them, by their names.

    Where there is nothing else, calibrations are what is to be seen.
    """
    names, _ = select(tuple(entry.name for entry in os.scandir(path) if entry.is_dir()))
    wanted = [name for name in names if not NOT_MEASURED.match(name)]
    others = tuple(f"{name}: a calibration by its name" for name in names if name not in wanted)
    return (wanted, others) if wanted else (names, ())


def _open(folder: Path, reading: Reading) -> xr.Dataset:
    """Open a measurement up to the first frame that is still being written: what follows comes with it, in order."""
    scan = reading.open(folder)
    pending = np.flatnonzero(scan["frame_status"].values == FrameStatus.PENDING)
    return scan.isel(time=slice(0, pending[0])) if pending.size else scan


def _measurement(folder: Path, reading: Reading) -> xr.Dataset | str:
    """One measurement of a sample; or why a folder with frames is none, and nothing of one without."""
    try:
        with without(re.escape(NO_ZONE)):
            return _open(folder, reading)
    except LayoutError as fault:
        found = look(folder)
        if not found.series and not holds_images(found):
            return ""
        return f"{folder.name}: {str(fault).removeprefix(f'{found.path}: ')}"


def _joined(
    parts: Sequence[xr.Dataset],
    *,
    name: str,
    reading: Reading,
    correcting: Correcting,
    reopen: Callable[[], Source] | None = None,
    others: Sequence[str] = (),
) -> Source:
    """Put measurements behind each other in time; one on another detector is left out, as ``others`` are."""
    parts = sorted((part for part in parts if part.sizes["time"]), key=lambda part: part["time"].values[0])
    if not parts:
        raise SchemaError(f"{name}: there are no frames to explore")
    fits = [part for part in parts if _shape(part) == _shape(parts[0])]
    left_out = tuple(
        f"{part['measurement'].item()}: frames of {part.sizes['y']} x {part.sizes['x']} pixels"
        for part in parts
        if _shape(part) != _shape(parts[0])
    ) + tuple(others)
    if reopen is None:
        folders, reading = origin(fits, reading)
    else:
        folders = tuple(Path(str(part.encoding["source"])) for part in fits)
    data = fits[0] if len(fits) == 1 else join(fits)
    return Source(data, name, folders, tuple(fits), reading, correcting, left_out, reopen)


def _shape(part: xr.Dataset) -> tuple[int, int]:
    return part.sizes["y"], part.sizes["x"]


def origin(parts: Sequence[xr.Dataset], reading: Reading) -> tuple[tuple[Path, ...], Reading]:
    """Return the folders that hold these data, and how to open them; no folders where they would give something else.

    A recipe may name a folder only if the folder gives the very frames that were explored, all of them and uncorrected.
    """
    found = [_origin(part, reading) for part in parts]
    ways = {way for way in found if way is not None}
    if None in found or len(ways) != 1:
        return (), reading
    return tuple(Path(str(part.encoding["source"])) for part in parts), ways.pop()


def _origin(part: xr.Dataset, reading: Reading) -> Reading | None:
    """Return how a measurement was opened; None where it is not as its folder has it."""
    folder, token = part.encoding.get("source"), part.attrs.get("source_token")
    name = str(getattr(image_of(part).variable._data, "name", ""))  # of the lazy frames: another one after any change
    if folder is None or not name.startswith((f"xinsitu-image-{token}", "open_dataset-image-")):
        return None
    zone, table = (str(part.attrs[name]) if name in part.attrs else None for name in ("time_zone", "instrument"))
    reading = replace(reading, tz=reading.tz or zone, instrument=reading.instrument or table)
    for on_error in dict.fromkeys((reading.on_error, "nan", "skip")):
        way = replace(reading, on_error=on_error)
        with contextlib.suppress(XinsituError, OSError), collected():
            again = way.open(Path(str(folder)))
            if image_of(again).dtype == image_of(part).dtype and _same(again, part):
                return way
    return None


def _same(one: xr.Dataset, other: xr.Dataset) -> bool:
    return one.sizes == other.sizes and all(
        one[name].equals(other[name]) for name in one.coords if name in other.coords
    )


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
