"""HDF5 files of other people: nothing in them may make us read a file beside them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import h5py

from xinsitu.errors import SchemaError, XinsituError

from .hdf5_look import what_breaks

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
