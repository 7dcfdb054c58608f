"""Whose frames are these: the instrument that was named, or that the frames are recognised by.

In this order: the keyword ``instrument=``; the environment variable ``XINSITU_INSTRUMENT``; the user's configuration
file; the table that recognises the frames; ``generic``.
"""

from __future__ import annotations

import errno
import glob
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from xinsitu.errors import DocumentError, FrameError, XinsituError, warn

from .discover import HDF5_SUFFIXES, SUFFIXES, natural_key
from .disk import new_file, ordinary
from .formats.reading import read_header
from .instruments import (
    ENVIRONMENT,
    GENERIC,
    Evidence,
    Instrument,
    configuration_folder,
    instrument_names,
    load_instrument,
)
from .paths import PathOrPaths
from .toml_text import BYTES, toml_of

InstrumentLike = str | os.PathLike[str] | Instrument
GIVEN, NOBODY = "given", "nothing recognised"
RECOGNISED = "recognised by "
_LINE = re.compile(r"^[ \t]*instrument[ \t]*=.*\n?", re.MULTILINE)


@dataclass(frozen=True)
class Chosen:
    """An instrument, and why it was taken: ``given``, where it was set, or ``recognised by ...``."""

    table: Instrument
    by: str

    def __str__(self) -> str:
        return f"{self.table.name} ({self.by})"


def choose_instrument(instrument: InstrumentLike | None, path: PathOrPaths) -> Chosen:
    """Return the instrument of frames: named, or recognised, or ``generic``.

    Raises
    ------
    DocumentError
        There is no instrument of the name, or its table does not say what it should.
    """
    return named_instrument(instrument) or recognise(path)


def named_instrument(instrument: InstrumentLike | None = None) -> Chosen | None:
    """Return the instrument that was named: by keyword, else in the environment, else in the configuration file.

    Raises
    ------
    DocumentError
        There is no instrument of the name; the sentence says where it stands.
    """
    if instrument is not None:
        return Chosen(load_instrument(instrument), GIVEN)
    for name, where in ((os.environ.get(ENVIRONMENT), ENVIRONMENT), (_configured(), str(configuration_file()))):
        if name:
            try:
                return Chosen(load_instrument(name), f"set in {where}")
            except DocumentError as error:
                raise DocumentError(f"{where}: {error}") from None
    return None


def instrument_or_generic(instrument: InstrumentLike | None) -> Instrument:
    """Return the instrument that was named, else ``generic``: for files that nothing can be recognised by."""
    chosen = named_instrument(instrument)
    return load_instrument(GENERIC) if chosen is None else chosen.table


# -- the user's configuration file ------------------------------------------------------------------------------------


def configuration_file() -> Path:
    """File that holds what this user has set."""
    return configuration_folder() / "config.toml"


def _configured() -> str | None:
    path = configuration_file()
    try:
        text = Path(ordinary(path, largest=BYTES)).read_text("utf-8-sig")
    except OSError as error:  # most have none, and some may not look into their home
        if error.errno == errno.EFBIG:
            raise
        return None
    except UnicodeDecodeError as error:
        raise DocumentError(f"{path}: the configuration file cannot be read ({error})") from None
    try:
        value = toml_of(text).get("instrument")
    except ValueError as error:
        raise DocumentError(f"{path}: the configuration file cannot be read ({error})") from None
    if not isinstance(value, str | None):
        raise DocumentError(f"{path}: instrument is a name, such as 'spring8-bl11xu', not {value!r}")
    return value


def configure_instrument(name: str | None) -> Path:
    """Make an instrument the user's own, or none: then frames are recognised again. Other lines of the file stay.

    Raises
    ------
    DocumentError
        There is no such instrument.
    """
    path = configuration_file()
    before = Path(ordinary(path, largest=BYTES)).read_text("utf-8-sig") if path.is_file() else ""
    line = ""
    if name is not None:
        table = load_instrument(name)
        where = str(Path(name).resolve()) if name.endswith(".toml") else table.name
        line = f"instrument = {_quoted(where)}\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    with new_file(path, overwrite=True) as temporary:
        temporary.write_text(line + _LINE.sub("", before, count=1), encoding="utf-8")
    return path


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


# -- recognising ------------------------------------------------------------------------------------------------------


def recognise(path: PathOrPaths) -> Chosen:
    """Return the instrument whose table recognises the frames, else ``generic``.

    A few files are looked at. A serial number decides over names; where two tables recognise frames equally well,
    neither is taken, with a warning.
    """
    tables = [table for name in instrument_names() if (table := _readable(name)) is not None and table.recognise]
    for file in few_files(path):
        found = evidence_of(file)
        fitting = [
            (bool(rule.serials), Chosen(table, f"{RECOGNISED}{by}"))
            for table in tables
            for rule in table.recognise
            if (by := rule.fits(found)) is not None
        ]
        if not fitting:
            continue
        best = [one for strong, one in fitting if strong] or [one for _, one in fitting]
        names = list(dict.fromkeys(one.table.name for one in best))
        if len(names) == 1:
            return best[0]
        warn(f"{file}: is recognised as of {' and of '.join(names)}; none is taken, say instrument= (--instrument)")
        break
    return Chosen(load_instrument(GENERIC), NOBODY)


def _readable(name: str) -> Instrument | None:
    """Return a table; None, with a warning, for one of the user's that makes no sense: it was not asked for."""
    try:
        return load_instrument(name)
    except XinsituError as error:
        warn(f"{error}; this table recognises nothing")
        return None


def few_files(path: PathOrPaths) -> list[str]:
    """Return the first, the middle and the last of the files that a path means; nothing where it means none."""
    folder, names = _files(path)
    frames = sorted(name for name in names if name.lower().endswith(SUFFIXES))
    if not frames:
        frames = sorted(name for name in names if name.lower().endswith(HDF5_SUFFIXES))[:1]
    places = (0, len(frames) // 2, -1) if frames else ()
    return list(dict.fromkeys(os.path.join(folder, frames[place]) for place in places))


def _files(path: PathOrPaths) -> tuple[str, list[str]]:
    """Return the folder of the files that a path means, empty where their names say it, and these names."""
    if not isinstance(path, str | os.PathLike):
        return "", [os.path.abspath(one) for one in path if isinstance(one, str | os.PathLike)]
    text = os.path.abspath(os.path.expanduser(os.fspath(path)))
    if os.path.isdir(text):
        try:
            return text, [name for name in os.listdir(text) if not name.startswith(".")]
        except OSError:
            return text, []
    if os.path.isfile(text) or not glob.has_magic(text):
        return "", [text]
    found = sorted(glob.glob(text), key=natural_key)
    return _files(found[0]) if found and all(map(os.path.isdir, found)) else ("", found)


def evidence_of(path: str) -> Evidence:
    """Return what a file says of where it comes from; its names alone where it cannot be read."""
    above = Path(path).parent
    names = Evidence(file=Path(path).stem, folder="/".join(part for part in (above.parent.name, above.name) if part))
    try:
        serial, words = _of_hdf5(path) if path.lower().endswith(HDF5_SUFFIXES) else _of_frame(path)
    except (FrameError, OSError, KeyError, RuntimeError, ValueError):
        return names
    return Evidence(serial=serial, header=" ".join(words), file=names.file, folder=names.folder)


def _of_frame(path: str) -> tuple[str, Sequence[str]]:
    header = read_header(path)
    texts = [value for value in header.text.attributes().values() if isinstance(value, str)]
    extra = [word for pair in header.extra for word in pair if isinstance(word, str)]
    return header.detector[1] or "", [header.model, header.software, *texts, *extra]


def _of_hdf5(path: str) -> tuple[str, Sequence[str]]:
    from .formats.hdf5_links import linked_files, opened  # h5py is not needed for folders of frames
    from .nexus import Nexus, instrument_words

    linked_files(path)  # refuses links that leave the folder
    with opened(path) as file:
        about = Nexus(file, "", 1, [])
        serial = about.string("detector_number") or about.string("serial_number")
        return serial, [*instrument_words(file), *map(about.string, ("description", "local_name", "model"))]
