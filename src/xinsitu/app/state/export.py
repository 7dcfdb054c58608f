"""What comes out: results, tables, and the recipe and the code that make them again."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pprint
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import tomli_w

from xinsitu.io.documents import EVENTS
from xinsitu.io.documents import VERSION as DOCUMENT
from xinsitu.io.results import write_results
from xinsitu.io.tables import write_csv
from xinsitu.physics.corrections.correction import IMAGES
from xinsitu.plots import save_plot
from xinsitu.recipe import Correcting, Reading
from xinsitu.recipe.recipe_file import FORMAT, VERSION, without_defaults

from .screen import Screen, Shown
from .screen import recipe as recipe
from .screen import result as result

HEAD = '"""Made by xinsitu explore: the numbers on its screen, by public functions."""'


# -- files ------------------------------------------------------------------------------------------------------------


def name_of(model: Shown) -> str:
    """Return the stem of the files."""
    return Screen.of(model).name


@contextlib.contextmanager
def _aside() -> Iterator[Path]:
    """Give a temporary folder; its errors name the place of such folders, not files of which nobody has heard."""
    place = tempfile.gettempdir()
    with tempfile.TemporaryDirectory() as folder:
        try:
            yield Path(folder)
        except OSError as fault:
            if not str(fault.filename).startswith(folder):
                raise
            raise OSError(fault.errno, f"{fault.strerror}, in the temporary folder {place}") from None


def netcdf(model: Shown) -> bytes:
    """Return the result as a netCDF file, with its recipe."""
    screen = Screen.of(model)
    step = recipe(screen)
    document = None if step is None else {"version": VERSION, **step.to_dict(Path.cwd())}
    with _aside() as folder:
        return write_results(result(screen), folder / "result.nc", recipe=document).read_bytes()


def table(model: Shown) -> bytes:
    """Return the result as CSV."""
    with _aside() as folder:
        return write_csv(result(model), folder / "result.csv").read_bytes()


def figure(model: Shown, ending: str) -> bytes:
    """Return the figure of the result as a file with this ending."""
    screen = Screen.of(model)
    options: dict[str, Any] = {**screen.plot, "events": screen.events}
    with _aside() as folder:
        return save_plot(result(screen), folder / f"figure.{ending}", **options).read_bytes()


def recipe_files(model: Shown) -> dict[str, str]:
    """Return ``recipe.toml`` and the files that it names, and the script; only the script without a recipe."""
    screen = Screen.of(model)
    files = {f"{screen.name}.py": script(screen)}
    if not screen.reproducible:
        return files
    folders, correcting, stem = screen.source.folders, screen.correcting, screen.name
    named = ["rois", *(name for name in ("changes", "events") if getattr(screen, name))]
    document: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "sample": folders[0].parent.as_posix(),
        "measurements": [Path(os.path.relpath(folder, folders[0].parent)).as_posix() for folder in folders],
        **{name: f"{name}.json" for name in named},
    }
    if correcting.flatfield is not None:
        document["flatfield"] = correcting.flatfield.resolve().as_posix()
    if screen.bad_frames:
        document["bad_frames"] = [one.to_dict() for one in screen.bad_frames]
    if reading := screen.reading.to_dict():
        document["reading"] = reading
    rest = replace(correcting, flatfield=None).to_dict(Path.cwd())
    for name in ("mask", *IMAGES):
        if (path := getattr(correcting, name)) is not None:
            rest[name] = path.resolve().as_posix()
    document["correction"] = without_defaults(_without_none(rest))
    document["output"] = {"result": f"{stem}.nc", "table": f"{stem}.csv", "figures": [f"{stem}.png"]}
    document["plot"] = screen.plot
    files["recipe.toml"] = tomli_w.dumps(document)
    events = [event.to_dict() for event in screen.events]
    own = json.dumps({"format": EVENTS, "version": DOCUMENT, "events": events}, indent=2)
    return files | {f"{name}.json": own if name == "events" else screen.files[name] for name in named}


def _without_none(document: dict[str, Any]) -> dict[str, Any]:
    """TOML has no null."""
    return {
        key: _without_none(value) if isinstance(value, dict) else value
        for key, value in document.items()
        if value is not None
    }


def recipe_zip(model: Shown) -> bytes:
    """Return :func:`recipe_files` in one archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in recipe_files(model).items():
            archive.writestr(name, text)
    return buffer.getvalue()


# -- code -------------------------------------------------------------------------------------------------------------


def script(model: Shown) -> str:
    """Return the code that makes the result again; text from files stands in it as quoted strings only."""
    screen = Screen.of(model)
    source, stem = screen.source, screen.name
    lines = [HEAD, "", "import xinsitu as xi", "", f"rois = xi.RoiSet.from_dict({_literal(_plain(screen))})"]
    lines += _correction_lines(screen)
    lines.append("series = []")
    if source.folders:
        lines.append(f"for folder in {_literal([folder.as_posix() for folder in source.folders])}:")
        lines.append(f"    scan = xi.open_measurement(folder{_keywords(screen.reading.to_dict())})")
    else:
        lines.append("for scan in [scan]:  # the Dataset that was explored")
    lines.append("    series.append(xi.measure(scan, rois, correction=correction).compute())")
    if len(source.parts) > 1 or screen.changes or screen.events:
        lines.append("result = xi.stitch(series)")
    else:
        lines.append("result = series[0]")
    if screen.bad_frames:
        bad = [one.to_dict() for one in screen.bad_frames]
        lines.append(f"result = xi.flag_bad_frames(result, {_literal(bad)})")
    events = [event.to_dict() for event in screen.events]
    lines.append(f"events = [xi.Event.from_dict(one) for one in {_literal(events)}]")
    if events:
        lines.append("result = xi.with_events(result, events)")
    if screen.changes:
        changes = [change.to_dict() for change in screen.changes]
        lines.append(f"changes = [xi.AttenuationChange.from_dict(one) for one in {_literal(changes)}]")
        lines.append("result = xi.correct_attenuation(result, changes)")
    lines.append(f"xi.write_results(result, {stem + '.nc'!r}, overwrite=True)")
    plot = ", ".join(f"{name}={value!r}" for name, value in screen.plot.items()) + ", events=events"
    lines.append(f"xi.save_plot(result, {stem + '.png'!r}, {plot}, overwrite=True)")
    return "\n".join(lines) + "\n"


def _plain(screen: Screen) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(screen.files["rois"])
    return {key: value for key, value in document.items() if key not in ("format", "version")}


def _literal(value: object) -> str:
    return pprint.pformat(value, width=110, sort_dicts=False)


def _keywords(values: Mapping[str, object]) -> str:
    return "".join(f", {name}={value!r}" for name, value in values.items())


def _correction_lines(screen: Screen) -> list[str]:
    """Return the lines that make ``correction``: its calibrations from their files, where they are known."""
    active, files = screen.correction, screen.correcting
    if active is None:
        return ["correction = None"]
    plain = ("median", "threshold", "normalise", "count_rate")
    parts = [f"{name}={value!r}" for name in plain if (value := getattr(active, name)) is not None]
    lines = []
    for name in ("flatfield", "mask", *IMAGES):
        source = getattr(files, name)
        if getattr(active, name) is None:
            continue
        parts.append(f"{name}={name}")
        if source is None:
            lines.append(f"# {name}: the one that was given to explore()")
        else:
            lines += _calibration_lines(name, source.resolve().as_posix(), files, screen.reading)
    if active.background is not None:
        parts.append(f"background=xi.Background.from_dict({_literal(active.background.to_dict())})")
    return [*lines, f"correction = xi.Correction({', '.join(parts)})"]


def _calibration_lines(name: str, path: str, files: Correcting, reading: Reading) -> list[str]:
    """Return the lines that make a calibration from its file, as :class:`~xinsitu.recipe.Correcting` does."""
    given = {key: value for key in ("tz", "instrument") if (value := getattr(reading, key)) is not None}
    if name != "flatfield":
        given.pop("tz", None)
        reads = "read_mask" if name == "mask" else "open_image"
        return [f"{name} = xi.{reads}({path!r}{_keywords(given)})"]
    if files.flatfield_median is None:
        return [f"flatfield = xi.open_flatfield({path!r}{_keywords(given)})"]
    given = {"tz": given["tz"]} if "tz" in given else {}
    return [
        f"frames = xi.open_measurement({path!r}, time='frame'{_keywords(given)}).image",
        f"flatfield = xi.median(frames, {files.flatfield_median}).mean('time', dtype='float64').compute()",
        "counts = float(flatfield.mean()) * frames.sizes['time']",
        "flatfield = (flatfield / flatfield.mean()).assign_attrs(flatfield.attrs, units='1', total_counts=counts)",
    ]
