"""HDF5 files of other people: the files that they link to are in their folder, all there, none shorter than it says."""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
import os
import stat
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from xinsitu.errors import SchemaError, XinsituError
from xinsitu.schema import FrameStatus

from .descriptors import is_ordinary, ordinary
from .hdf5_look import what_breaks
from .header import FrameFault, disc_fault, faults_of

PIECES = "entry/data"
"""Where an Eiger's master links to the files of its frames."""


DEEPEST = 16
"""Virtual datasets of virtual datasets; nobody's detector makes more than two."""


def linked_files(path: str) -> tuple[tuple[str, int, int], ...]:
    """Path, size and time of the file and of all that it links to, each of which may only link within its folder.

    Files of frames that an Eiger's master names and that never came, as after a run that was stopped, are passed over:
    who looks for the frames finds that they are not there.

    Raises
    ------
    FrameFault
        A link leaves the folder, or what it names is not there or is too short.
    """
    folder = os.path.dirname(path)
    waiting, found, references = [path], {}, {}
    lost: set[str] = set()
    while waiting:
        one = waiting.pop()
        try:
            references[one] = _within(Path(one), Path(folder).resolve())
            status = os.stat(one)
        except Exception as error:  # noqa: BLE001 - whatever HDF5 throws at a damaged file is a fault of that file
            text = " ".join(str(error).removeprefix(f"{one}: ").split())
            if one == path:
                raise FrameFault(path, text, _state(path, text)) from None
            said = f"links to {os.path.relpath(one, folder)}: {text}"
            raise FrameFault(path, said, FrameStatus.MISSING) from None
        found[one] = (one, status.st_size, status.st_mtime_ns)
        if one == path:
            lost = {*missing_pieces(path), *_missing_sources(path, references[path])}
        names = sorted({said.file for said in references[one] if said.kind != STORAGE and said.file != "."})
        linked = [target_of(os.path.dirname(one), name) for name in names]
        waiting += [name for name in linked if name not in found and name not in lost]
    taken: Sources = {}
    for one in found:
        with faults_of(path, "the frames that it links to cannot be read"):
            taken |= _check_sources(one, references[one], lost)
    _check_depth(path, taken)
    return tuple(found.values())


def missing_pieces(path: str) -> dict[str, str]:
    """Files that are not there of those that an Eiger's master links to for its frames, and the names of the links."""
    folder = os.path.dirname(path)
    try:
        with opened(path) as file:
            data = file.get(PIECES)
            names = [name for name in data if name.startswith("data_")] if isinstance(data, h5py.Group) else []
            links = {name: data.get(name, getlink=True) for name in names}
    except (OSError, RuntimeError, KeyError):
        return {}
    targets = {
        target_of(folder, link.filename): name for name, link in links.items() if isinstance(link, h5py.ExternalLink)
    }
    return {target: name for target, name in targets.items() if not os.path.lexists(target)}


LINK, SOURCE, STORAGE = "link", "source", "storage"


@dataclass(frozen=True)
class Reference:
    """What in a file refers to a file.

    Parameters
    ----------
    kind
        An external link, a source of a virtual dataset (``file`` is ``.`` for the file itself), external storage.
    name
        Of the link or dataset.
    file
        As it is written.
    dataset
        In that file.
    frames
        Whether the virtual dataset may be one of frames, of which some may be missing; never a mask.
    address
        Where the virtual dataset lies.
    bounds, points
        Sizes that the source is said to have, and how many points are taken from it.
    """

    kind: str
    name: str
    file: str
    dataset: str = ""
    frames: bool = False
    address: int = 0
    bounds: tuple[int, ...] = ()
    points: int = 0

    def larger_than(self, shape: tuple[int, ...]) -> bool:
        """Whether more is taken than a source of this shape has: a part of it with bounds, or all of it."""
        if self.bounds:
            sizes = zip(shape, self.bounds, strict=True)
            return len(shape) == len(self.bounds) and any(one < other for one, other in sizes)
        return math.prod(shape) < self.points


Place = tuple[str, int]
"""A dataset: its file, and where it lies in it."""
Sources = dict[Place, set[Place]]


def _missing_sources(path: str, references: Sequence[Reference]) -> set[str]:
    """Files that are not there of those that virtual datasets take frames from; HDF5 would give zeros for theirs."""
    names = {one.file for one in references if one.kind == SOURCE and one.frames} - {"."}
    targets = {target_of(os.path.dirname(path), name) for name in names}
    return {target for target in targets if not os.path.lexists(target)}


def _check_sources(path: str, references: Sequence[Reference], lost: Set[str]) -> Sources:
    """Raise where a virtual dataset takes frames from where there are none: HDF5 would give zeros."""
    taken: Sources = {}
    folder = os.path.dirname(path)
    wanted = [
        (path if one.file == "." else target_of(folder, one.file), one) for one in references if one.kind == SOURCE
    ]
    for target, sources in itertools.groupby(wanted, key=lambda pair: pair[0]):
        some = [one for _, one in sources if not (target in lost and one.frames)]
        if some and target in lost:
            raise FrameFault(path, f"{some[0].name} takes values from {some[0].file}, which is not there")
        if not some:
            continue
        with opened(target) as other:
            for one in some:
                dataset = other.get(one.dataset)
                if not isinstance(dataset, h5py.Dataset):
                    raise FrameFault(path, f"{one.name} takes frames from {one.file}, which has no {one.dataset}")
                if one.larger_than(dataset.shape):
                    said = f"{one.name} takes more from {one.file} than the {dataset.shape} that it has"
                    raise FrameFault(path, said, FrameStatus.TRUNCATED)
                place = (os.path.realpath(target), h5py.h5o.get_info(dataset.id).addr)
                taken.setdefault((os.path.realpath(path), one.address), set()).add(place)
    return taken


def _check_depth(path: str, taken: Sources) -> None:
    """Raise where virtual datasets take their frames from each other in a circle, or deeply: HDF5 would break down."""
    depth: dict[Place, int] = {}

    def of(place: Place, way: frozenset[Place]) -> int:
        if place in way or len(way) > DEEPEST:
            raise FrameFault(path, f"its virtual datasets refer to each other in a circle, or more than {DEEPEST} deep")
        if place not in depth:
            depth[place] = 1 + max((of(one, way | {place}) for one in taken.get(place, ())), default=0)
        return depth[place]

    for place in taken:
        if of(place, frozenset()) > DEEPEST:
            raise FrameFault(path, f"its virtual datasets refer to each other more than {DEEPEST} deep")


def _state(path: str, said: str) -> FrameStatus:
    if not os.path.exists(path):
        return FrameStatus.MISSING
    cut = "truncated file" in said or not os.path.getsize(path)
    return FrameStatus.TRUNCATED if cut else FrameStatus.UNREADABLE


MOST_OBJECTS = 100_000


def opened(path: str | os.PathLike[str]) -> h5py.File:
    """Open an HDF5 file for reading; without locks where the disc knows none, as on some network discs.

    Locks are tried first: HDF5 refuses to open a file without that this process has open with. A file that somebody
    writes for readers beside him (SWMR) opens for those alone.
    """
    if os.path.exists(path):
        ordinary(path)
    try:
        return h5py.File(path, "r")
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        raise
    except OSError:
        try:
            return h5py.File(path, "r", locking=False)
        except OSError:
            with contextlib.suppress(OSError):
                return h5py.File(path, "r", locking=False, swmr=True)
            raise


def refuse_outside_links(path: str | os.PathLike[str], *, inside: str | os.PathLike[str] | None = None) -> None:
    """Raise if an HDF5 file refers to data outside itself.

    External links, external storage and virtual datasets make a reader open any file that the user may read; they
    were used to steal files. Detector files may link to their own folder: ``inside`` allows that.

    Parameters
    ----------
    path
        The HDF5 or netCDF4 file.
    inside
        A folder within which other files may be referred to; None allows none.

    Raises
    ------
    SchemaError
        The file refers elsewhere, or is no HDF5 file.
    """
    _within(Path(path), None if inside is None else Path(inside).resolve())


def _within(path: Path, inside: Path | None) -> tuple[Reference, ...]:
    """Return what a file refers to; raise where it must not."""
    try:
        status = path.stat()
    except OSError:
        refuse_unsound(path)
        raise
    try:
        found = _references(path, (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_mode))
        for one in found:
            if one.kind != SOURCE or one.file != ".":
                _check_target(path, one.name, one.file, inside, beside=one.kind != STORAGE)
    except (XinsituError, FileNotFoundError, PermissionError):
        raise
    except Exception as fault:  # noqa: BLE001 - whatever HDF5 throws at a damaged file is a fault of that file
        said = disc_fault(fault) or f"is no readable HDF5 file ({' '.join(str(fault).split())})"
        raise SchemaError(f"{path}: {said}") from None
    return found


@functools.lru_cache(maxsize=64)
def _references(path: Path, identity: tuple[int, ...]) -> tuple[Reference, ...]:
    """Return what a sound file refers to; a file that is the same as before is not looked through again."""
    refuse_unsound(path)
    with opened(path) as file:
        return tuple(_listed(file))


def _listed(file: h5py.File) -> Iterator[Reference]:
    for name, link, item in links_of(file):
        if isinstance(link, h5py.ExternalLink):
            yield Reference(LINK, name, link.filename)
        elif isinstance(item, h5py.Dataset):
            if item.is_virtual:
                address = h5py.h5o.get_info(item.id).addr
                frames = item.ndim > 2 and "mask" not in name.lower()
                for one in item.virtual_sources():
                    bounds, points = one.src_space.get_simple_extent_dims(), int(one.vspace.get_select_npoints())
                    yield Reference(
                        SOURCE, name, one.file_name, one.dset_name, frames, address, tuple(bounds or ()), points
                    )
            for target, _, _ in item.external or ():  # HDF5 looks for these nowhere else
                yield Reference(STORAGE, name, os.path.join(os.path.dirname(file.filename), target))


def refuse_unsound(path: Path) -> None:
    """Raise if a path is no ordinary file, or one that the HDF5 library does not survive.

    Raises
    ------
    SchemaError
        It is a folder, a pipe or a device; or it is damaged so that the library hangs or breaks down.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: there is no such file") from None
    except PermissionError:
        raise PermissionError(f"{path}: may not be read by this user") from None
    if stat.S_ISDIR(status.st_mode):
        raise SchemaError(f"{path}: is a folder, a netCDF or HDF5 file was expected")
    if not is_ordinary(path, status):
        raise SchemaError(f"{path}: is no ordinary file, a netCDF or HDF5 file was expected")
    if not os.access(path, os.R_OK):
        raise PermissionError(f"{path}: may not be read by this user")
    with path.open("rb") as file:
        if file.read(4)[:3] == b"CDF":
            new = f"{path.stem}_4.nc"
            raise SchemaError(
                f"{path}: is netCDF-3, only netCDF-4 is read; convert it: xarray.open_dataset({path.name!r}, "
                f"engine='scipy').to_netcdf({new!r}, engine='h5netcdf'), or nccopy -k nc4 {path.name} {new}"
            )
    if said := what_breaks(path):
        raise SchemaError(f"{path}: {said}")


def links_of(file: h5py.File) -> Iterator[tuple[str, object, object]]:
    """Name, link and item of everything in a file, each group looked into once; behind an external link no item.

    Raises
    ------
    SchemaError
        There is more in it than can be looked through.
    """
    waiting: list[h5py.Group] = [file]
    seen: set[int] = set()
    count = 0
    while waiting:
        group = waiting.pop()
        for name in group:
            if (count := count + 1) > MOST_OBJECTS:
                raise SchemaError(f"{file.filename}: has more than {MOST_OBJECTS} objects and is not opened")
            link = group.get(name, getlink=True)
            item = None if isinstance(link, h5py.ExternalLink) else group.get(name)
            yield f"{group.name}/{name}".replace("//", "/"), link, item
            if isinstance(item, h5py.Group) and (address := h5py.h5o.get_info(item.id).addr) not in seen:
                seen.add(address)
                waiting.append(item)


def _check_target(path: Path, where: str, target: str, inside: Path | None, *, beside: bool = True) -> None:
    resolved = Path(target_of(path.parent, target)) if beside else Path(target).resolve()
    if inside is None or not resolved.is_relative_to(inside):
        copied = beside and os.path.isabs(target) and (path.parent / os.path.basename(target)).exists()
        also = "; one of this name lies beside it, but HDF5 takes the other first" if inside and copied else ""
        raise SchemaError(f"{path}: {where} refers to another file ({target}) and is not opened{also}")


def target_of(folder: str | os.PathLike[str], name: str) -> str:
    """Return the file that HDF5 opens for a link: for an absolute name that leads nowhere, its last part beside it.

    Whoever copies files that link to each other by absolute names, as GDA writes them, leaves such links.
    """
    if os.path.isabs(name) and not os.path.lexists(name):
        name = os.path.basename(name)
    # not normpath: behind a symbolic link, ".." is another folder than it looks
    return os.path.realpath(os.path.join(folder, name))


def decoded(value: object) -> str:
    """Text of an attribute, which HDF5 gives as bytes, str or an array of one of them; empty for None.

    Examples
    --------
    >>> decoded(np.array([b"mm"])), decoded(np.bytes_(b" s ")), decoded("\N{MICRO SIGN}s".encode("latin-1"))
    ('mm', ' s ', '\N{MICRO SIGN}s')
    """
    if isinstance(value, np.ndarray):
        value = value.ravel()[0] if value.size == 1 else None
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return value.decode("latin-1")
    return "" if value is None or isinstance(value, h5py.Empty) else str(value)
