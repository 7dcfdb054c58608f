"""The files that an HDF5 file takes its frames from: all within its folder, all there, none shorter than it says."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator

import h5py

from xinsitu.errors import SchemaError
from xinsitu.schema import FrameStatus

from .header import FrameFault
from .safe_hdf5 import opened, refuse_outside_links, target_of

PIECES = "entry/data"
"""Where an Eiger's master links to the files of its frames."""


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
    lost = set(missing_pieces(path)) if os.path.isfile(path) else set()
    while waiting:
        one = waiting.pop()
        try:
            refuse_outside_links(one, inside=folder)
            status = os.stat(one)
            linked = list(_linked_files(one))
        except (SchemaError, OSError, RuntimeError, KeyError) as error:
            text = str(error).removeprefix(f"{one}: ")
            if one == path:
                raise FrameFault(path, text, _state(path, text)) from None
            said = f"links to {os.path.relpath(one, folder)}: {text}"
            raise FrameFault(path, said, FrameStatus.MISSING) from None
        found[one] = (one, status.st_size, status.st_mtime_ns)
        waiting += [name for name in linked if name not in found and name not in lost]
    for one in found:
        try:
            _check_sources(one)
        except OSError as error:
            raise FrameFault(path, f"the frames that it links to cannot be read ({error})") from None
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


def _check_sources(path: str) -> None:
    """Raise where a virtual dataset takes frames from where there are none: HDF5 would give zeros."""
    with opened(path) as file:
        for name, source in _virtual_sources(file):
            if source.file_name == ".":
                continue
            target = target_of(os.path.dirname(path), source.file_name)
            with opened(target) as other:
                dataset = other.get(source.dset_name)
                shape = dataset.shape if isinstance(dataset, h5py.Dataset) else None
            if shape is None:
                raise FrameFault(path, f"{name} takes frames from {source.file_name}, which has no {source.dset_name}")
            if _too_small(shape, source):
                said = f"{name} takes more from {source.file_name} than the {shape} that it has"
                raise FrameFault(path, said, FrameStatus.TRUNCATED)


def _too_small(shape: tuple[int, ...], source: h5py._hl.vds.VDSmap) -> bool:
    """Whether a source has not all that is taken from it: a part of it with bounds, or all of it."""
    bounds = source.src_space.get_simple_extent_dims()
    if bounds:
        return len(shape) == len(bounds) and any(one < other for one, other in zip(shape, bounds, strict=True))
    return math.prod(shape) < int(source.vspace.get_select_npoints())


def _virtual_sources(file: h5py.File) -> list[tuple[str, h5py._hl.vds.VDSmap]]:
    found: list[tuple[str, h5py._hl.vds.VDSmap]] = []

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and item.is_virtual:
            found.extend((name, source) for source in item.virtual_sources())

    file.visititems(visit)
    return found


def _state(path: str, said: str) -> FrameStatus:
    if not os.path.exists(path):
        return FrameStatus.MISSING
    cut = "truncated file" in said or not os.path.getsize(path)
    return FrameStatus.TRUNCATED if cut else FrameStatus.UNREADABLE


def _linked_files(path: str) -> Iterator[str]:
    """Absolute paths of files that the links and virtual datasets of a file name."""
    folder = os.path.dirname(path)
    names: set[str] = set()

    def visit(group: h5py.Group, depth: int) -> None:
        for name in group:
            link = group.get(name, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                names.add(link.filename)
                continue
            item = group.get(name)
            if isinstance(item, h5py.Group) and isinstance(link, h5py.HardLink) and depth < 16:
                visit(item, depth + 1)
            elif isinstance(item, h5py.Dataset) and item.is_virtual:
                names.update(source.file_name for source in item.virtual_sources() if source.file_name != ".")

    with opened(path) as file:
        visit(file, 0)
    return iter(target_of(folder, name) for name in sorted(names))
