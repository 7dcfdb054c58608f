"""Files appear whole or not at all: temporary file, fsync, read back, then a name; garbage is looked for later."""

from __future__ import annotations

import contextlib
import errno
import functools
import gc
import glob
import hashlib
import logging
import os
import platform
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xinsitu.errors import ResultExists, SchemaError

from .formats.descriptors import ordinary as ordinary
from .formats.reading import FORMATS
from .formats.zarr_stack import attributes_of

log = logging.getLogger(__name__)

FRAMES = tuple(ending for one in FORMATS for ending in one.endings)
"""Endings of what a detector writes and nothing here does."""
_REFUSED = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT}
"""What a disc or a limit says that does not take a file."""
_HDF5 = b"\x89HDF\r\n\x1a\n"
_PART = re.compile(r"\..*\.([0-9a-f]{8})-(\d+)-[0-9a-f]{8}\.part")
_OLD = re.compile(_PART.pattern.replace("part", "old"))


def refuse_existing(path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Return the path if it may be written, before any work is done for it.

    Raises
    ------
    ResultExists
        It is there and ``overwrite`` is false, or it is no ordinary file, a detector frame, or an HDF5 file or Zarr
        store that another program wrote: it may hold frames.
    FileNotFoundError
        Its folder does not exist.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent}: there is no such folder to write {path.name} in; make it first")
    if path.suffix == ZARR:
        _put_back(path)
    if attributes_of(path) is not None and not path.is_symlink():
        if not overwrite:
            raise ResultExists(f"{path}: already exists; choose another name, or overwrite it with --force")
        if "xinsitu_version" not in (attributes_of(path) or {}):
            raise ResultExists(f"{path}: is a Zarr store of another program and is not replaced; choose another name")
        return path
    if path.is_symlink() or (path.exists() and not stat.S_ISREG(path.stat().st_mode)):
        raise ResultExists(f"{path}: is no ordinary file and is not replaced; choose another name")
    if path.exists() and path.suffix.lower() in FRAMES:
        raise ResultExists(f"{path}: is a detector frame or a picture and is never replaced; choose another name")
    if path.exists() and not overwrite:
        raise ResultExists(
            f"{path}: already exists; choose another name, or overwrite it with --force (overwrite=True)"
        )
    if path.exists() and _is_foreign(path):
        raise ResultExists(
            f"{path}: is an HDF5 file that xinsitu did not write and is not replaced; choose another name, or remove it"
        )
    return path


def _is_foreign(path: Path) -> bool:
    """Whether an HDF5 file is of another program, as those of detectors are, or cannot be read to tell."""
    try:
        with path.open("rb") as file:
            if file.read(len(_HDF5)) != _HDF5:
                return False
    except OSError as fault:  # of a read no name is told
        raise OSError(fault.errno, fault.strerror, os.fspath(path)) from None
    from .formats.hdf5_links import opened  # h5py is not needed for anything else that is written

    try:
        with opened(path) as file:
            return "xinsitu_version" not in file.attrs
    except OSError:
        return True


def write_whole(path: str | os.PathLike[str], content: bytes | memoryview, *, overwrite: bool = False) -> Path:
    """Write a file whole or not at all, and read it back before it gets its name.

    Raises
    ------
    ResultExists
        The file is there and ``overwrite`` is false.
    OSError
        The disc is full, or gives back something else; the message names the file, and what was there is untouched.

    Examples
    --------
    >>> import tempfile
    >>> write_whole(Path(tempfile.mkdtemp()) / "a.txt", b"whole").read_text()
    'whole'
    """
    with new_file(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(content)
        if temporary.read_bytes() != content:
            raise OSError(f"{path}: what was written could not be read back; check the disc")
    return Path(path)


NETCDF = (".nc", ".nc4", ".h5", ".hdf5", ".hdf", ".nxs", "")
"""Endings of names under which netCDF4, which is HDF5, may be written."""
ZARR = ".zarr"
ENDING_OF_STORES = f"{ZARR}.part"


def refuse_other_format(path: str | os.PathLike[str], *, stores: bool = False) -> None:
    """Raise where a name promises another format than netCDF4; ``stores``: or Zarr.

    Raises
    ------
    SchemaError
        It ends in ``.csv``, ``.zarr``, ``.png`` or the like.
    """
    ending = Path(path).suffix
    if ending.lower() not in (*NETCDF, *([ZARR] if stores else [])):
        other = "; a table is what write_csv writes, or [output] table in a recipe" if ending.lower() == ".csv" else ""
        raise SchemaError(f"{path}: netCDF4 (HDF5) is written, which is not called {ending}; name it .nc{other}")


FIGURES = (".html", ".png", ".pdf", ".svg")
"""Endings of figures."""


def refuse_no_figure(path: str | os.PathLike[str]) -> None:
    """Raise where a name is none of a figure, which is drawn when all else is done.

    Raises
    ------
    SchemaError
        It has another ending.
    """
    if Path(path).suffix.lower() not in FIGURES:
        raise SchemaError(f"{path}: a figure ends in one of {', '.join(FIGURES)}")


@contextlib.contextmanager
def new_file(path: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary path beside ``path``; what was written there gets the name when the block ends well.

    The temporary file is on the same file system, is synced to the disc before it is renamed, and is removed when the
    block raises; what processes that were killed have left beside it is cleared. Without ``overwrite`` a file that
    appeared meanwhile is not replaced either.

    Raises
    ------
    ResultExists
        The file is there and ``overwrite`` is false.
    OSError
        The disc does not take it; the message names the file.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with new_file(folder / "a.txt") as temporary:
    ...     _ = temporary.write_text("whole")
    >>> [entry.name for entry in folder.iterdir()], (folder / "a.txt").read_text()
    (['a.txt'], 'whole')
    """
    path = refuse_existing(path, overwrite=overwrite)
    clear_stale_parts(path.parent)
    # a name of 255 bytes is the longest that there is, and this one gets an ending
    begin = path.name.encode("utf-8", "surrogateescape")[:60].decode("utf-8", "ignore")
    temporary = path.parent / f".{begin}.{_writer()}.part"
    try:
        yield temporary
        _sync(temporary)
        if overwrite:
            os.replace(temporary, path)
        else:
            _claim(temporary, path)
        _sync(path.parent)
        log.info("%s: written, %d bytes", path, path.stat().st_size)
    except OSError as fault:
        if fault.errno not in _REFUSED or isinstance(fault, ResultExists) or os.fspath(path) in str(fault.strerror):
            raise
        if fault.filename not in (None, os.fspath(temporary), temporary):
            raise
        raise OSError(fault.errno, fault.strerror, os.fspath(path)) from None
    finally:
        with contextlib.suppress(OSError):  # a folder that takes nothing gives nothing up, and has said so
            temporary.unlink(missing_ok=True)


def clear_stale_parts(folder: Path) -> None:
    """Remove temporary files of processes of this machine that are no more; those of others are left alone."""
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            match = _PART.fullmatch(name)
            if match and match[1] == here() and not is_alive(int(match[2])):
                (folder / name).unlink(missing_ok=True)
                log.info("%s: cleared, its writer was killed", folder / name)


@functools.cache
def here() -> str:
    """Digest of the machine and of the numbering of its processes, which each container has for itself."""
    numbering = ""
    with contextlib.suppress(OSError):
        numbering = os.readlink("/proc/self/ns/pid")
    return hashlib.blake2b(f"{platform.node()} {numbering}".encode(), digest_size=4).hexdigest()


def is_alive(process: int) -> bool:
    """Whether a process of this machine runs; one that has ended, and for which nobody has waited yet, does not."""
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)  # sends nothing
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    told = _told_of(process)
    return not told or told[0] not in (b"Z", b"X")


def began(process: int) -> float:
    """UNIX time, to a second or two, when a process began: another one had its number before. 0 where nobody tells."""
    told = _told_of(process)
    try:
        booted = re.search(rb"^btime (\d+)", Path("/proc/stat").read_bytes(), re.MULTILINE)
        return int(booted[1]) + int(told[19]) / os.sysconf("SC_CLK_TCK") if booted else 0.0
    except (OSError, IndexError, ValueError):
        return 0.0


def _told_of(process: int) -> list[bytes]:
    """Return what Linux tells of a process behind its name; nothing on other systems."""
    try:
        return Path(f"/proc/{process}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return []


def claimed(part: Path, path: Path, *, overwrite: bool) -> None:
    """Give a folder that was written whole its name; a store that has it is put aside first, and removed after.

    Raises
    ------
    ResultExists
        Somebody else has written it meanwhile.
    """
    old = path.with_name(f".{path.name[:60]}.{_writer()}.old")
    if overwrite and path.exists():
        refuse_existing(path, overwrite=True)
    try:
        if overwrite and path.exists():
            os.replace(path, old)
        os.rename(part, path)
    except BaseException as fault:  # whoever ends us: what was there has its name again
        taken = path.exists()
        if old.exists() and not taken:
            os.replace(old, path)
        if taken and isinstance(fault, OSError):
            raise ResultExists(f"{path}: was written by somebody else meanwhile and is not replaced") from None
        raise
    shutil.rmtree(old, ignore_errors=True)
    _sync(path.parent)


def _put_back(path: Path) -> None:
    """Give a store that a process put aside, and was killed, its name again; remove it where another has the name."""
    with contextlib.suppress(OSError):
        for old in path.parent.glob(f".{glob.escape(path.name[:60])}.*.old"):
            match = _OLD.fullmatch(old.name)
            if match and match[1] == here() and not is_alive(int(match[2])):
                if path.exists():
                    shutil.rmtree(old, ignore_errors=True)
                else:
                    os.replace(old, path)


def _writer() -> str:
    """Name of what this process writes; others tell by it whether it is still at work."""
    return f"{here()}-{os.getpid()}-{secrets.token_hex(4)}"


def _claim(temporary: Path, path: Path) -> None:
    """Name the file unless the name is taken; a hard link is the one rename that refuses."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise ResultExists(f"{path}: was written by somebody else meanwhile and is not replaced") from None
    except OSError:  # file systems without hard links
        refuse_existing(path)
        os.replace(temporary, path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def uncollected() -> Iterator[None]:
    """Put the search for reference cycles off; each search looks at every object there is and would find none.

    It takes a fifth of the time of opening 10,000 frames.

    Examples
    --------
    >>> with uncollected():
    ...     gc.isenabled()
    False
    >>> gc.isenabled()
    True
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
