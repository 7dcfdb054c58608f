"""Instruments as tables: what a beamline calls its axes, where its clock stands, how it names its files.

A table is a TOML file. Three come with the package; people add their own as
``~/.config/xinsitu/instruments/NAME.toml`` (``$XDG_CONFIG_HOME`` where it is set), or give a path. A table says by what
frames of its instrument are recognised; which table is taken for frames is decided in :mod:`~xinsitu.io.recognition`.
"""

from __future__ import annotations

import fnmatch
import functools
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Any

from xinsitu.errors import DocumentError, RoiError, XinsituError, brief
from xinsitu.values import Background

from .disk import ordinary
from .toml_text import BYTES, toml_of
from .value_kinds import check_kinds, schema_of

GENERIC = "generic"
"""The instrument that assumes nothing: no zone, no names of axes, no background region."""
ENVIRONMENT = "XINSITU_INSTRUMENT"
PATTERNS = (r"(?P<name>.*?)_(?P<scan>\d+)_(?P<frame>\d+)", r"(?P<name>.*?)_?(?P<frame>\d+)")
"""File names where a table says nothing: ``<name>_<scan>_<frame>``, or just ``<name>_<frame>``."""

_LONGEST = 200
"""Bytes of a name of a table; file systems end at 255, with the ending."""
_SECTIONS = (
    *("title", "time_zone", "stamp_marks", "axes", "files", "background", "logs", "counters", "motors"),
    "recognise",
)


@dataclass(frozen=True)
class Evidence:
    """What a file says of where it comes from.

    Parameters
    ----------
    serial
        Of the detector; empty where it does not say.
    header
        Words of the header, among them the name of the detector.
    file
        Name, without its ending.
    folder
        The last two folders of its path, ``0884/time1``.
    """

    serial: str = ""
    header: str = ""
    file: str = ""
    folder: str = ""


@dataclass(frozen=True)
class Rule:
    """By what frames are recognised: each line that is there must fit, by any of its values.

    ``serials`` are numbers of detectors, ``header`` whole words in the header, ``files`` and ``folders`` shell patterns
    for names of files without their ending and for the last folders of the path.

    Examples
    --------
    >>> rule = Rule(header=("PILATUS 100K",), folders=("[0-9]*/time*",))
    >>> rule.fits(Evidence(header="PILATUS 100K, S/N 1-0884", folder="0884/time1"))
    'PILATUS 100K, names of the folders'
    >>> rule.fits(Evidence(header="PILATUS 100K-S", folder="0884/time1")) is None
    True
    """

    serials: tuple[str, ...] = ()
    header: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()

    def fits(self, found: Evidence) -> str | None:
        """By what the frames are recognised, in words; None where they are not."""
        said = (
            (self.serials, f"S/N {found.serial}" if found.serial in self.serials else None),
            (self.header, next((word for word in self.header if _has_word(found.header, word)), None)),
            (self.files, "names of the files" if _matches(found.file, self.files) else None),
            (self.folders, "names of the folders" if _matches(found.folder, self.folders) else None),
        )
        by = [how for wanted, how in said if wanted]
        return None if None in by else ", ".join(how for how in by if how)


def _has_word(text: str, word: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text, re.IGNORECASE) is not None


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


@dataclass(frozen=True)
class Counter:
    """A column of the log, and what it means.

    Parameters
    ----------
    name
        Of the coordinate, such as ``monitor``.
    column
        In the log; or a value that its header gives for the whole scan.
    units
        Of the coordinate, after scaling.
    position
        Where it sits: ``before_attenuator`` (it does not see a change of the filters) or ``after_attenuator``.
    meaning
        In words: ``incident beam``, ``transmission``, ``filter index``.
    scale
        What the column is multiplied by: 0.01 turns per cent into a fraction.
    lag
        How many points late the counter is written: the value of frame ``i`` stands at point ``i + lag``.
    interpolate
        Where frames are joined by time, take the value between the two points instead of the nearest point's.
    """

    name: str
    column: str
    units: str = "1"
    position: str | None = None
    meaning: str = ""
    scale: float = 1.0
    lag: int = 0
    interpolate: bool = False

    def attributes(self) -> dict[str, str]:
        """Attributes of the coordinate."""
        known = {
            "units": self.units,
            "long_name": self.meaning or self.column,
            "log_column": self.column,
            "position": self.position,
        }
        return {name: value for name, value in known.items() if value is not None}

    @classmethod
    def from_dict(cls, instrument: str, name: str, table: Mapping[str, Any]) -> Counter:
        """Read the table of one counter.

        Raises
        ------
        DocumentError
            A key is unknown, or a value makes no sense.
        """
        known = ("column", "units", "position", "meaning", "scale", "lag", "interpolate")
        where = f"instrument {instrument!r}, counter {name!r}"
        if strange := sorted(set(table) - set(known)):
            raise DocumentError(f"{where}: unknown {', '.join(strange)}; known are {', '.join(known)}")
        if table.get("position") not in (None, "before_attenuator", "after_attenuator"):
            raise DocumentError(f"{where}: position is before_attenuator or after_attenuator")
        return cls(name=name, **{"column": name, **table})


@dataclass(frozen=True)
class Instrument:
    """What xinsitu has to know about a beamline.

    Parameters
    ----------
    name, title
        The table's name, and what people call the place.
    time_zone
        IANA name of the zone that the detector PC's clock shows; None: nobody knows.
    y_name, x_name
        Physical direction of rows and columns (``long_name`` of the coordinates); None: just detector rows and
        columns.
    patterns
        Regular expressions for the stem of a frame's name, with the groups ``frame`` and, where there are any,
        ``name`` and ``scan``; the first that fits wins.
    background
        The region that ``parse`` takes where none is given.
    stamp_marks
        Whether a stamp marks the ``start`` or the ``end`` of the exposure.
    logs
        Shell patterns of log files beside the frames, the first that fits any file wins; ``../*.dat`` looks into the
        folder above, ``{scan}`` stands for the scan number.
    log_tolerance
        Seconds that a point of a log may be away from a frame that it is joined to by time; None: one and a half
        steps of the log.
    counters
        Columns of the logs to take; none takes all.
    motors
        Columns of the logs that are motors (shell patterns), each with its units. Where one moves, frames are flagged
        and results warn. Motors that a SPEC file lists are known without.
    flip
        Axes (``y``, ``x``) along which files hold the frames mirrored; pixels are counted from the other end then.
    recognise
        By what its frames are recognised; any of the rules is enough.

    Examples
    --------
    >>> instrument = load_instrument("spring8-bl11xu")
    >>> instrument.time_zone, instrument.y_name, instrument.x_name
    ('Asia/Tokyo', 'hk', 'l')
    """

    name: str
    title: str
    time_zone: str | None = None
    y_name: str | None = None
    x_name: str | None = None
    patterns: tuple[str, ...] = PATTERNS
    background: Background | None = None
    stamp_marks: str = "end"
    logs: tuple[str, ...] = ("*.log",)
    log_tolerance: float | None = None
    counters: tuple[Counter, ...] = ()
    motors: tuple[tuple[str, str], ...] = ()
    flip: tuple[str, ...] = ()
    recognise: tuple[Rule, ...] = ()

    @property
    def flips(self) -> dict[str, slice]:
        """Selection that turns stored frames the right way round."""
        return {axis: slice(None, None, -1) for axis in self.flip}

    def motor(self, column: str) -> str | None:
        """Units of the motor that a column of the log is; None where it is none.

        Examples
        --------
        >>> load_instrument("diamond-i07").motor("diff1vdelta"), load_instrument("diamond-i07").motor("d5i")
        ('deg', None)
        """
        return next((units for pattern, units in self.motors if fnmatch.fnmatchcase(column, pattern)), None)

    @classmethod
    def from_dict(cls, name: str, table: Mapping[str, Any]) -> Instrument:
        """Read the table of one instrument.

        Raises
        ------
        DocumentError
            A section is unknown, the zone is no text, a pattern is no regular expression with a group ``frame``.
        """
        if strange := sorted(set(table) - set(_SECTIONS)):
            raise DocumentError(f"instrument {name!r}: unknown {', '.join(strange)}; known are {', '.join(_SECTIONS)}")
        try:
            check_kinds(table, schema_of("instrument"))
        except DocumentError as error:
            raise DocumentError(f"instrument {name!r}: {error}") from None
        if not isinstance(table.get("time_zone", ""), str):
            raise DocumentError(f"instrument {name!r}: time_zone is missing: it is a name, such as 'Asia/Tokyo'")
        if (marks := table.get("stamp_marks", "end")) not in ("start", "end"):
            raise DocumentError(f"instrument {name!r}: stamp_marks is 'start' or 'end', not {marks!r}")
        axes, files, region = (table.get(section) or {} for section in ("axes", "files", "background"))
        logs = table.get("logs") or {}
        tolerance = logs.get("tolerance")
        known = tolerance is None or (isinstance(tolerance, int | float) and 0 <= tolerance < float("inf"))
        if set(logs) - {"patterns", "tolerance"} or not known:
            raise DocumentError(f"instrument {name!r}: logs has patterns, such as ['*.log'], and tolerance in seconds")
        patterns = tuple(files.get("patterns", PATTERNS))
        flip = tuple(axes.get("flip", ()))
        if set(axes) - {"y", "x", "flip"} or set(flip) - {"y", "x"}:
            raise DocumentError(f"instrument {name!r}: axes has y and x, names, and flip, such as ['x']")
        for pattern in patterns:
            _check_pattern(name, pattern)
        try:
            background = Background.from_dict(region) if region else None
        except (RoiError, DocumentError) as error:
            raise DocumentError(f"instrument {name!r}: {error}") from None
        return cls(
            name=name,
            title=str(table.get("title", name)),
            time_zone=table.get("time_zone"),
            y_name=axes.get("y"),
            x_name=axes.get("x"),
            patterns=patterns,
            background=background,
            stamp_marks=marks,
            logs=tuple(logs.get("patterns", ("*.log",))),
            log_tolerance=tolerance,
            flip=flip,
            motors=_motors(name, table.get("motors") or {}),
            recognise=_rules(name, table.get("recognise", [])),
            counters=tuple(
                Counter.from_dict(name, counter, one) for counter, one in (table.get("counters") or {}).items()
            ),
        )


def _rules(name: str, blocks: object) -> tuple[Rule, ...]:
    known = [item.name for item in fields(Rule)]
    wrong = f"instrument {name!r}: [[recognise]] has {', '.join(known)}, lists of texts such as serials = ['1-0103']"
    if not isinstance(blocks, list):
        raise DocumentError(wrong)
    for block in blocks:
        lists = list(block.values()) if isinstance(block, dict) else []
        if not lists or set(block) - set(known) or not all(isinstance(values, list) and values for values in lists):
            raise DocumentError(wrong)
        if not all(isinstance(value, str) and value for values in lists for value in values):
            raise DocumentError(wrong)
    return tuple(Rule(**{line: tuple(values) for line, values in block.items()}) for block in blocks)


def _motors(name: str, table: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    for columns in table.values():
        if not isinstance(columns, list) or not all(isinstance(column, str) for column in columns):
            raise DocumentError(
                f"instrument {name!r}: motors gives columns by their units, such as deg = ['th', 'chi']"
            )
    return tuple((column, units) for units, columns in table.items() for column in columns)


def _check_pattern(name: str, pattern: str) -> None:
    try:
        groups = re.compile(pattern).groupindex
    except (re.error, TypeError) as error:
        raise DocumentError(f"instrument {name!r}: {pattern!r} is no regular expression ({error})") from None
    if "frame" not in groups or set(groups) - {"name", "scan", "frame"}:
        raise DocumentError(f"instrument {name!r}: {pattern!r} needs the groups frame, name and scan, or frame alone")


def configuration_folder() -> Path:
    """Folder of what this user has set."""
    # expanduser leaves "~" where there is no home, Path.home() would raise
    return Path(os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")) / "xinsitu"


def user_folder() -> Path:
    """Folder of the instruments that this user added."""
    return configuration_folder() / "instruments"


def instrument_names() -> list[str]:
    """Names of all instruments, the user's own among them.

    Examples
    --------
    >>> set(instrument_names()) >= {"diamond-i07", "generic", "spring8-bl11xu"}
    True
    """
    shipped = [entry.name for entry in resources.files("xinsitu").joinpath("instruments").iterdir()]
    try:
        own = os.listdir(user_folder())
    except OSError:  # most have none, and some may not look into their home
        own = []
    return sorted({name.removesuffix(".toml") for name in shipped + own if name.endswith(".toml")})


def load_instrument(instrument: str | os.PathLike[str] | Instrument) -> Instrument:
    """Return an instrument by its name, or from a table of your own (a path that ends in ``.toml``).

    Parameters
    ----------
    instrument
        Name, path or Instrument. A user's own table wins over a shipped one.

    Raises
    ------
    DocumentError
        There is no such instrument, or its table does not say what it should.

    Examples
    --------
    >>> load_instrument("diamond-i07").time_zone
    'Europe/London'
    """
    if isinstance(instrument, Instrument):
        return instrument
    wanted = os.fspath(instrument)
    if wanted.endswith(".toml"):
        return _parse(Path(wanted).stem, _read(Path(wanted)), wanted)
    if len(os.fsencode(wanted)) <= _LONGEST and re.fullmatch(r"[\w.-]+", wanted):
        own = user_folder() / f"{wanted}.toml"
        if os.path.lexists(own):  # false, and no error, where it may not be looked at
            return _parse(wanted, _read(own), str(own))
        shipped = resources.files("xinsitu").joinpath("instruments", f"{wanted}.toml")
        if shipped.is_file():
            return _parse(wanted, shipped.read_text("utf-8"), wanted)
    known = ", ".join(instrument_names())
    raise DocumentError(f"no instrument {brief(wanted)!r}; there are {known}, or give a .toml file")


def _read(path: Path) -> str:
    try:
        return Path(ordinary(path, largest=BYTES)).read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DocumentError(f"{path}: the instrument's table cannot be read ({error})") from None


@functools.lru_cache(maxsize=64)  # every opening asks all tables
def _parse(name: str, text: str, source: str) -> Instrument:
    try:
        return Instrument.from_dict(name, toml_of(text))
    except XinsituError as error:
        raise DocumentError(f"{source}: {error}") from None
    except ValueError as error:
        raise DocumentError(f"{source}: no valid TOML ({error})") from None
