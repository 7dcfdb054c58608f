"""``recipe.toml``: a whole sample in one file that people write.

.. code-block:: toml

    format = "xinsitu-recipe"
    version = 1
    sample = "0884"                 # paths are relative to this file
    include = "time*"               # or measurements = ["time1", "time2"]
    exclude = "test*"
    rois = "rois.json"
    flatfield = "flatfield1"
    changes = "changes.json"        # or find = true, or overlap = "qdcd": from what scans of it share
    events = "events.json"
    bad_frames = ["time2:71", "time2:80-85", { position = 1080 }]      # or "time1:5..time2:3"

    [reading]                       # tz, instrument, on_error, order_error, time
    tz = "Asia/Tokyo"

    [correction]                    # median, threshold, flatfield_median, background, mask, dark, background_image, ...
    median = 3                      # as without these two lines: outliers only; threshold = 0: every pixel
    threshold = 5
    dark = "dark1"
    background = { y = [70, 90], x = [150, 170], mode = "divide" }

    [[calibration]]                 # one for each axis: axis, name, file, lattice_constant, transpose
    axis = "x"
    name = "l"
    file = "0884L.dat"

    [attenuation]                   # roi, window, method, reference, legacy
    roi = "WZ"

    [output]
    result = "0884.nc"
    table = "0884.csv"
    figures = ["0884.png", "0884.html"]

    [plot]                          # keywords of plot
    t0 = "In shutter open"
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import tomli_w

from xinsitu.defaults import MEDIAN, OUTLIERS
from xinsitu.errors import DocumentError, XinsituError
from xinsitu.io.discover import look
from xinsitu.io.disk import ordinary, refuse_no_figure, refuse_other_format, write_whole
from xinsitu.io.documents import read_attenuation_changes, read_events, read_rois
from xinsitu.io.guard import output_path
from xinsitu.io.measurement import select, with_frames
from xinsitu.io.toml_text import BYTES, toml_of
from xinsitu.io.value_kinds import check_kinds, schema_of
from xinsitu.values import frame_ranges

from . import ATTENUATION, Calibrating, Correcting, Measure, Reading, Stitch

FORMAT, VERSION = "xinsitu-recipe", 1
_KEYS = {
    "format", "version", "sample", "measurements", "include", "exclude", "rois", "flatfield", "changes", "find",
    "overlap", "events", "bad_frames", "reading", "correction", "calibration", "attenuation", "output", "plot",
}  # fmt: skip
_OUTPUTS = {"result", "table", "figures"}
_PLOT = {"t0", "x", "smooth", "derivative", "log", "normalise", "roi", "quantity", "size", "style"}


@dataclass(frozen=True)
class SampleRecipe:
    """What to do with a sample, and where the results go.

    ``stitch`` is the recipe of the numbers; ``result``, ``table`` and ``figures`` are files to write, ``plot`` the
    keywords of the figures; ``inputs`` are the files that were and will be read, the recipe itself among them.
    """

    name: str
    stitch: Stitch
    result: Path
    table: Path | None = None
    figures: tuple[Path, ...] = ()
    plot: Mapping[str, Any] = field(default_factory=dict)
    inputs: tuple[Path, ...] = ()

    @property
    def outputs(self) -> tuple[Path, ...]:
        """Every file that will be written."""
        return (self.result, *(() if self.table is None else (self.table,)), *self.figures)


def read_recipe(path: str | Path) -> SampleRecipe:
    """Read a ``recipe.toml``.

    Raises
    ------
    DocumentError
        It is no TOML file of this format, or something it names makes no sense; the message names the file.
    """
    path = Path(path)
    try:
        document = toml_of(Path(ordinary(path, largest=BYTES)).read_text(encoding="utf-8-sig"))
    except ValueError as fault:
        raise DocumentError(f"{path}: is not valid TOML: {fault}") from None
    if document.get("format") != FORMAT or document.get("version") != VERSION:
        raise DocumentError(f'{path}: needs the lines format = "{FORMAT}" and version = {VERSION}')
    if strange := sorted(set(document) - _KEYS):
        raise DocumentError(f"{path}: unknown keys {', '.join(strange)}; known are {', '.join(sorted(_KEYS))}")
    if missing := [name for name in ("sample", "rois") if name not in document]:
        raise DocumentError(f"{path}: lacks {' and '.join(missing)}")
    try:
        check_kinds(document, schema_of("recipe"))
        recipe = _sample_recipe(document, path.resolve().parent)
        return replace(recipe, inputs=(path, *recipe.inputs))
    except XinsituError as fault:
        text = str(fault)
        raise type(fault)(text if str(path.parent) in text else f"{path}: {text}") from None
    except (TypeError, AttributeError, ValueError) as fault:
        raise DocumentError(f"{path}: a value is of the wrong kind ({fault})") from None


def _sample_recipe(document: Mapping[str, Any], base: Path) -> SampleRecipe:
    sample = base / document["sample"]
    reading = Reading(**document.get("reading", {}))
    correction = dict(document.get("correction", {}))
    if "flatfield" in document:
        correction["flatfield"] = document["flatfield"]
    correcting = Correcting.from_dict(_with_defaults(correction), base)
    rois = read_rois(base / document["rois"])
    pixels = tuple(Calibrating.from_dict(one, base) for one in document.get("calibration", ()))
    inputs = tuple(
        Measure(folder, rois, reading, correcting, calibrating=pixels)
        for folder in _folders(document, sample, {path.resolve() for path in correcting.folders})
    )
    stitch = Stitch(
        inputs=inputs,
        changes=read_attenuation_changes(base / document["changes"]) if "changes" in document else (),
        find=bool(document.get("find", False)),
        events=read_events(base / document["events"]) if "events" in document else (),
        attenuation=_attenuation(document),
        overlap=document.get("overlap"),
        bad_frames=frame_ranges(document.get("bad_frames", ())),
    )
    output = document.get("output", {})
    for part, known in (("output", _OUTPUTS), ("plot", _PLOT)):
        if strange := sorted(set(document.get(part, {})) - known):
            raise DocumentError(f"[{part}] has no {', '.join(strange)}; it has {', '.join(sorted(known))}")
    result, figures = output.get("result", f"{sample.name}.nc"), output.get("figures", ())
    refuse_other_format(result)
    for figure in figures:  # before any work is done for them
        refuse_no_figure(figure)
    return SampleRecipe(
        name=sample.name,
        stitch=stitch,
        result=base / result,
        table=base / output["table"] if "table" in output else None,
        figures=tuple(base / figure for figure in figures),
        plot=dict(document.get("plot", {})),
        inputs=(
            *(base / document[name] for name in ("rois", "changes", "events") if name in document),
            *(one.file for one in pixels),
            *([] if correcting.mask is None else [correcting.mask]),
        ),
    )


def _with_defaults(correction: Mapping[str, Any]) -> dict[str, Any]:
    """Return a correction whose median replaces outliers only, where nothing else is said; 0 means none."""
    said = {"median": MEDIAN, "threshold": OUTLIERS, **correction}
    median = said["median"] or None
    return said | {"median": median, "threshold": (said["threshold"] or None) if median else None}


def without_defaults(correction: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ``[correction]`` of a recipe that does this and no more: what is not in it is 0, not the default.

    Examples
    --------
    >>> without_defaults({"median": 3}), without_defaults({})
    ({'threshold': 0, 'median': 3}, {'median': 0})
    """
    return {"threshold": 0, **correction} if correction.get("median") else {**correction, "median": 0}


def _attenuation(document: Mapping[str, Any]) -> dict[str, Any]:
    options = dict(document.get("attenuation", {}))
    if strange := sorted(set(options) - set(ATTENUATION)):
        raise DocumentError(f"[attenuation] has no {', '.join(strange)}; it has {', '.join(ATTENUATION)}")
    return options


def _folders(document: Mapping[str, Any], sample: Path, calibrations: set[Path]) -> list[Path]:
    """Measurements that are named, or all that are none of the calibrations."""
    if "measurements" in document:
        return [sample / str(name) for name in document["measurements"]]
    names, _ = select(look(sample).folders, document.get("include", "*"), document.get("exclude", "test*"))
    names = [name for name in names if (sample / name).resolve() not in calibrations]
    folders = [sample / name for name in with_frames(sample, names)]
    if not folders:
        raise DocumentError(f"{sample}: holds no measurement that include and exclude let through, beside calibrations")
    return folders


def write_recipe(document: Mapping[str, Any], path: str | Path, *, overwrite: bool = False) -> None:
    """Write a ``recipe.toml`` from its keys; format and version are put in front.

    Raises
    ------
    DocumentError
        A key is not known.
    ResultExists
        The file is there and ``overwrite`` is false.
    """
    if strange := sorted(set(document) - _KEYS):
        raise DocumentError(f"a recipe has no {', '.join(strange)}; it has {', '.join(sorted(_KEYS))}")
    text = tomli_w.dumps({"format": FORMAT, "version": VERSION, **document})
    write_whole(output_path(path, overwrite=overwrite), text.encode(), overwrite=overwrite)
