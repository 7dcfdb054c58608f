"""HDF5 files of other people: the files that they link to are in their folder, all there, none shorter than it says."""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Iterator, Set
from pathlib import Path

import h5py

from xinsitu.errors import SchemaError, XinsituError
from xinsitu.schema import FrameStatus

from .hdf5_look import what_breaks
from .header import FrameFault

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
    waiting, found = [path], {}
    lost = {*missing_pieces(path), *missing_sources(path)} if os.path.isfile(path) else set()
    while waiting:
        one = waiting.pop()
        try:
            refuse_outside_links(one, inside=folder)
            status = os.stat(one)
            linked = list(_linked_files(one))
        except Exception as error:  # noqa: BLE001 - whatever HDF5 throws at a damaged file is a fault of that file
            text = " ".join(str(error).removeprefix(f"{one}: ").split())
            if one == path:
                raise FrameFault(path, text, _state(path, text)) from None
            said = f"links to {os.path.relpath(one, folder)}: {text}"
            raise FrameFault(path, said, FrameStatus.MISSING) from None
        found[one] = (one, status.st_size, status.st_mtime_ns)
        waiting += [name for name in linked if name not in found and name not in lost]
    taken: Sources = {}
    for one in found:
        try:
            taken |= _check_sources(one, lost)
        except XinsituError:
            raise
        except Exception as error:  # noqa: BLE001 - as above
            raise FrameFault(path, f"the frames that it links to cannot be read ({error})") from None
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


Place = tuple[str, int]
"""A dataset: its file, and where it lies in it."""
Sources = dict[Place, set[Place]]


def missing_sources(path: str) -> set[str]:
    """Files that are not there of those that virtual datasets take frames from; HDF5 would give zeros for theirs."""
    try:
        with opened(path) as file:
            names = {source.file_name for name, item, source in _virtual_sources(file) if _are_frames(item, name)} - {
                "."
            }
    except Exception:  # noqa: BLE001 - said where the file is opened for good
        return set()
    targets = {target_of(os.path.dirname(path), name) for name in names}
    return {target for target in targets if not os.path.lexists(target)}


def _are_frames(item: h5py.Dataset, name: str) -> bool:
    """Whether a virtual dataset may be one of frames, of which some may be missing; never a mask."""
    return item.ndim > 2 and "mask" not in name.lower()


def _check_sources(path: str, lost: Set[str]) -> Sources:
    """Raise where a virtual dataset takes frames from where there are none: HDF5 would give zeros."""
    taken: Sources = {}
    with opened(path) as file:
        for name, item, source in _virtual_sources(file):
            here = source.file_name == "."
            target = path if here else target_of(os.path.dirname(path), source.file_name)
            if target in lost and _are_frames(item, name):
                continue
            if target in lost:
                raise FrameFault(path, f"{name} takes values from {source.file_name}, which is not there")
            with opened(target) as other:
                dataset = other.get(source.dset_name)
                shape = dataset.shape if isinstance(dataset, h5py.Dataset) else None
                if shape is not None:
                    place = (os.path.realpath(target), h5py.h5o.get_info(dataset.id).addr)
                    taken.setdefault((os.path.realpath(path), h5py.h5o.get_info(item.id).addr), set()).add(place)
            if shape is None:
                raise FrameFault(path, f"{name} takes frames from {source.file_name}, which has no {source.dset_name}")
            if _too_small(shape, source):
                said = f"{name} takes more from {source.file_name} than the {shape} that it has"
                raise FrameFault(path, said, FrameStatus.TRUNCATED)
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


def _too_small(shape: tuple[int, ...], source: h5py._hl.vds.VDSmap) -> bool:
    """Whether a source has not all that is taken from it: a part of it with bounds, or all of it."""
    bounds = source.src_space.get_simple_extent_dims()
    if bounds:
        return len(shape) == len(bounds) and any(one < other for one, other in zip(shape, bounds, strict=True))
    return math.prod(shape) < int(source.vspace.get_select_npoints())


def _virtual_sources(file: h5py.File) -> Iterator[tuple[str, h5py.Dataset, h5py._hl.vds.VDSmap]]:
    for name, _, item in links_of(file):
        if isinstance(item, h5py.Dataset) and item.is_virtual:
            yield from ((name, item, source) for source in item.virtual_sources())


def _state(path: str, said: str) -> FrameStatus:
    if not os.path.exists(path):
        return FrameStatus.MISSING
    cut = "truncated file" in said or not os.path.getsize(path)
    return FrameStatus.TRUNCATED if cut else FrameStatus.UNREADABLE


def _linked_files(path: str) -> Iterator[str]:
    """Absolute paths of files that the links and virtual datasets of a file name."""
    folder = os.path.dirname(path)
    names: set[str] = set()
    with opened(path) as file:
        for _, link, item in links_of(file):
            if isinstance(link, h5py.ExternalLink):
                names.add(link.filename)
            elif isinstance(item, h5py.Dataset) and item.is_virtual:
                names.update(source.file_name for source in item.virtual_sources() if source.file_name != ".")
    return iter(target_of(folder, name) for name in sorted(names))


MOST_OBJECTS = 100_000


def opened(path: str | os.PathLike[str]) -> h5py.File:
    """Open an HDF5 file for reading; without locks where the disc knows none, as on some network discs.

    Locks are tried first: HDF5 refuses to open a file without that this process has open with.
    """
    try:
        return h5py.File(path, "r")
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        raise
    except OSError:
        return h5py.File(path, "r", locking=False)


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
    path = Path(path)
    refuse_unsound(path)
    try:
        with opened(path) as file:
            _check_links(file, path, None if inside is None else Path(inside).resolve())
    except XinsituError:
        raise
    except Exception as fault:  # noqa: BLE001 - whatever HDF5 throws at a damaged file is a fault of that file
        raise SchemaError(f"{path}: is no readable HDF5 file ({' '.join(str(fault).split())})") from None


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
    if not stat.S_ISREG(status.st_mode):
        raise SchemaError(f"{path}: is no ordinary file, a netCDF or HDF5 file was expected")
    if not os.access(path, os.R_OK):
        raise PermissionError(f"{path}: may not be read by this user")
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


def _check_links(file: h5py.File, path: Path, inside: Path | None) -> None:
    for name, link, item in links_of(file):
        if isinstance(link, h5py.ExternalLink):
            _check_target(path, name, link.filename, inside)
        elif isinstance(item, h5py.Dataset):
            for target in _targets(item):
                _check_target(path, name, target, inside)
            for target, _, _ in item.external or ():  # HDF5 looks for these nowhere else
                _check_target(path, name, os.path.join(path.parent, target), inside, beside=False)


def _targets(dataset: h5py.Dataset) -> list[str]:
    """Files other than its own that a virtual dataset takes its values from."""
    names = [source.file_name for source in dataset.virtual_sources()] if dataset.is_virtual else []
    return [name for name in names if name != "."]


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
