"""What a run may write: nothing that it reads, nothing twice, nothing among anybody's frames."""

from __future__ import annotations

import glob
import os
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path

from xinsitu.errors import LayoutError, ResultExists, XinsituError

from .discover import look
from .disk import refuse_existing
from .formats.reading import read_header

_HDF5_PIECES = ("_master.h5", "_master.nxs")


def check_outputs(
    outputs: Iterable[Path | None],
    *,
    inputs: Iterable[Path | None] = (),
    frames: Iterable[Path | None] = (),
    overwrite: bool = False,
    below: Path | None = None,
) -> None:
    """Refuse what a run is to write, all of it at once and before any work; None is passed over.

    Paths are compared as files, through links and whatever the case of their letters.

    Parameters
    ----------
    outputs
        Every file that will be written.
    inputs
        Files that are read: ROIs, changes, results, recipes. None of them is ever replaced.
    frames
        Folders, files or patterns of frames. Nothing is written below these folders, nor into any other folder that
        holds frames.
    overwrite
        Whether outputs that are there may be replaced.
    below
        Folder that all outputs have to lie below.

    Raises
    ------
    ResultExists
        An output is there, is an input, or is named twice.
    LayoutError
        It would lie among frames, or outside ``below``.
    """
    sources = [Path(path) for path in frames if path is not None]
    files = [*(Path(path) for path in inputs if path is not None), *_files(sources), *sources]
    taken: dict[object, Path] = {}
    for output in (Path(path) for path in outputs if path is not None):
        refuse_outside(output, below)
        refuse_among_frames(output, sources)
        refuse_existing(output, overwrite=overwrite)
        if (twin := taken.setdefault(identity(output), output)) is not output:
            raise ResultExists(f"{output}: two outputs of this run have this name ({twin.name}); give each its own")
        if (read := next((path for path in files if _same(output, path)), None) or _link(output, sources)) is not None:
            raise ResultExists(f"{output}: is read by this run ({read}) and is never replaced; choose another name")


def output_path(path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Return the path of one file if it may be written, before any work is done for it.

    Raises
    ------
    ResultExists
        It is there and ``overwrite`` is false, or is nothing that is ever replaced.
    LayoutError
        It would lie in a folder that holds frames.
    """
    found = refuse_existing(path, overwrite=overwrite)
    refuse_among_frames(found)
    return found


def refuse_outside(output: Path, below: Path | None) -> None:
    """Raise if an output does not lie below a folder."""
    if below is not None and not _real(output).is_relative_to(below.resolve()):
        raise LayoutError(
            f"{output}: lies outside the folder of its recipe, {below}; name it below, or allow it with --outside"
        )


def refuse_among_frames(output: Path, sources: Iterable[Path] = ()) -> None:
    """Raise if an output would lie below a source, or in any folder that holds frames."""
    real = _real(output)
    for source in sources:
        if source.is_dir() and real.parent.is_relative_to(source.resolve()):
            raise LayoutError(
                f"{output}: lies in the folder of its own frames, which is never written to; choose another with -o"
            )
    folder = next(one for one in real.parents if one.is_dir())
    if (found := frames_in(folder)) is not None:
        raise LayoutError(
            f"{output}: lies in a folder that holds frames ({found}), which is never written to; choose another with -o"
        )


def frames_in(folder: Path) -> str | None:
    """Name the frames that a folder holds; None where it holds none.

    A lone picture is none (masks lie where results do), unless it has several pages; nor are HDF5 files, but for those
    of a detector's file writer.
    """
    try:
        found = look(folder)
    except XinsituError:
        return None
    for series in found.series:
        if len(series.files) > 1 or _pages(os.path.join(found.path, series.files[0].name)) > 1:
            return str(series)
    return next((name for name in found.strays if name.lower().endswith(_HDF5_PIECES)), None)


def _pages(path: str) -> int:
    try:
        return read_header(path).pages
    except XinsituError:
        return 0


def _files(sources: Iterable[Path]) -> Iterator[Path]:
    """Files of frames that are named one by one or by a pattern."""
    for source in sources:
        if not source.is_dir():
            yield from [source] if source.exists() else map(Path, glob.glob(os.fspath(source)))


def _link(output: Path, sources: Iterable[Path]) -> Path | None:
    """Return the frame, in a folder of them, that an output is another name of."""
    if not output.exists() or (status := output.stat()).st_nlink < 2:
        return None
    for source in (one for one in sources if one.is_dir() and one.stat().st_dev == status.st_dev):
        with os.scandir(source) as entries:
            for entry in entries:
                if entry.inode() == status.st_ino:
                    return Path(entry.path)
    return None


def _real(path: Path) -> Path:
    return path.parent.resolve() / path.name


def identity(path: Path) -> object:
    """Return what names of one output have in common, also on discs that do not tell letters by their case."""
    return _real(path).parent, unicodedata.normalize("NFC", path.name).casefold()


def _same(one: Path, other: Path) -> bool:
    """Whether two paths are one file."""
    try:
        return os.path.samefile(one, other)
    except OSError:  # one of them is not there
        return identity(one) == identity(other)
