"""Files appear whole or not at all: temporary file, fsync, then a name of their own."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from xinsitu.errors import ResultExists


def refuse_existing(path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Return the path if it may be written, before any work is done for it.

    Raises
    ------
    ResultExists
        It is there and ``overwrite`` is false, or it is no ordinary file.
    FileNotFoundError
        Its folder does not exist.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent}: there is no such folder to write {path.name} in; make it first")
    if path.is_symlink() or (path.exists() and not stat.S_ISREG(path.stat().st_mode)):
        raise ResultExists(f"{path}: is no ordinary file and is not replaced; choose another name")
    if path.exists() and not overwrite:
        raise ResultExists(
            f"{path}: already exists; choose another name, or overwrite it with --force (overwrite=True)"
        )
    return path


@contextlib.contextmanager
def new_file(path: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary path beside ``path``; what was written there gets the name when the block ends well.

    The temporary file is on the same file system, is synced to the disc before it is renamed, and is removed when the
    block raises. Without ``overwrite`` a file that appeared meanwhile is not replaced either.

    Raises
    ------
    ResultExists
        The file is there and ``overwrite`` is false.

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
    temporary = path.parent / f".{path.name}.{secrets.token_hex(4)}.part"
    try:
        yield temporary
        _sync(temporary)
        if overwrite:
            os.replace(temporary, path)
        else:
            _claim(temporary, path)
        _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


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
