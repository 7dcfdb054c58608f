"""A place of an open file: read, written, set aside, on systems, too, that have no call of their own for it."""

from __future__ import annotations

import errno
import os
import stat


def is_ordinary(file: str | os.PathLike[str] | int, status: os.stat_result | None = None) -> bool:
    """Whether a path, or an open file, is a file of a disc: whoever reads a pipe, a device, or what the kernel makes up
    as in ``/proc`` may wait for ever. ``status`` is what the system says of it, where it was asked already.
    """  # noqa: D205 - the summary needs two lines
    status = status or os.stat(file)
    if not stat.S_ISREG(status.st_mode):
        return False
    return status.st_size > 0 or not hasattr(os, "statvfs") or os.statvfs(file).f_blocks > 0


def ordinary(path: str | os.PathLike[str], *, largest: int | None = None) -> str | os.PathLike[str]:
    """Return the path of a file to read, unless reading could wait for ever, never end or fill the memory.

    ``largest``: bytes that a file of its kind may have, where it is read as a whole.

    Raises
    ------
    OSError
        It is a pipe, a socket or a device, is made up by the kernel as those of ``/proc`` are, is not there, or is
        larger.
    """
    if not is_ordinary(path) and not os.path.isdir(path):  # folders are refused by whoever opens them
        raise OSError(errno.EINVAL, "is a pipe or a device, no ordinary file", os.fspath(path))
    if largest is not None and os.stat(path).st_size > largest:
        raise OSError(errno.EFBIG, f"is larger than {largest // 2**20} MiB, no file of this kind", os.fspath(path))
    return path


def read_at(descriptor: int, view: memoryview, position: int) -> int:
    """Read into a view from a place of a file, and return how much; only without ``preadv`` (macOS, Windows) the file's
    own position is used, so nobody else may move it meanwhile.
    """  # noqa: D205 - the summary needs two lines
    if hasattr(os, "preadv"):
        return os.preadv(descriptor, [view], position)
    os.lseek(descriptor, position, os.SEEK_SET)
    got = os.read(descriptor, len(view))
    view[: len(got)] = got
    return len(got)


def write_at(descriptor: int, content: memoryview | bytes, position: int) -> int:
    """Write to a place of a file, and return how much was taken."""
    if hasattr(os, "pwrite"):
        return os.pwrite(descriptor, content, position)
    os.lseek(descriptor, position, os.SEEK_SET)
    return os.write(descriptor, content)


def reserve(descriptor: int, offset: int, size: int) -> None:
    """Let the file system set blocks of a file aside, where it can; the file is at least as long afterwards.

    Raises
    ------
    OSError
        There is no room for them.
    """
    try:
        os.posix_fallocate(descriptor, offset, size)
    except AttributeError:
        _lengthen(descriptor, offset + size)
    except OSError as fault:
        if fault.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise
        _lengthen(descriptor, offset + size)


def _lengthen(descriptor: int, size: int) -> None:
    if os.fstat(descriptor).st_size < size:
        os.ftruncate(descriptor, size)
