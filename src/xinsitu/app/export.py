"""What comes out: results, tables, and the recipe and the code that make them again."""

from __future__ import annotations

import io
import json
import pprint
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import tomli_w
import xarray as xr

from xinsitu.io.results import write_results
from xinsitu.io.tables import write_csv
from xinsitu.plots import save_plot
from xinsitu.recipe import Correcting, Measure, Stitch
from xinsitu.sample_recipe import FORMAT, VERSION
from xinsitu.schema import image_of
from xinsitu.values import RoiSet

from .measuring import Request, answer, masked
from .model import ExplorerModel

HEAD = '"""Made by xinsitu explore: the numbers on its screen, by public functions."""'


def recipe(model: ExplorerModel) -> Measure | Stitch | None:
    """Return the recipe of what is on the screen; None for frames or a correction that no folder holds."""
    source = model.source
    if not source.folders or len(source.folders) != len(source.parts):
        return None
    correcting = source.correcting if model.corrected else Correcting()
    if model.active_correction is not None and not any(vars(correcting).values()):
        return None
    rois = RoiSet(list(model.rois))
    inputs = tuple(Measure(folder, rois, source.reading, correcting) for folder in source.folders)
    if len(inputs) == 1 and not model.changes and not model.events:
        return inputs[0]
    return Stitch(inputs=inputs, changes=model.changes, events=model.events)


def result(model: ExplorerModel) -> xr.Dataset:
    """Return what the recipe makes, from the frames that are at hand already.

    Every measurement is measured by itself; several are stitched, and the changes of attenuation are corrected.

    Raises
    ------
    XinsituError
        The frames cannot be measured or the measurements not be joined.
    """
    series = [_measured(model, part, first) for part, first in _parts(model)]
    step = recipe(model)
    joining = step if isinstance(step, Stitch) else Stitch((), changes=model.changes, events=model.events)
    plain = len(series) == 1 and not model.changes and not model.events
    return series[0] if plain else joining.join(series)


def _parts(model: ExplorerModel) -> list[tuple[xr.Dataset, int]]:
    """Return the measurements as they were opened, their pixels at hand, and the position of their first frame."""
    data, parts, first = model.store.measurable(), [], 0
    for part in model.source.parts:
        last = min(first + part.sizes["time"], data.sizes["time"])
        if last > first:
            kept = part.isel(time=slice(0, last - first))
            own = image_of(kept)
            image = own.copy(data=image_of(data).isel(time=slice(first, last)).data)
            image.encoding = dict(own.encoding)
            parts.append((kept.assign(image=image), first))
        first += part.sizes["time"]
    return parts


def _measured(model: ExplorerModel, part: xr.Dataset, first: int) -> xr.Dataset:
    faults = {at - first: text for at, text in model.store.faults.items() if 0 <= at - first < part.sizes["time"]}
    request = Request(part, RoiSet(list(model.rois)), model.rois.names, model.active_correction, {})
    return masked(answer(request).series, faults)


# -- files ------------------------------------------------------------------------------------------------------------


def name_of(model: ExplorerModel) -> str:
    """Return the stem of the files."""
    kept = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in model.source.name)
    return kept.strip("._") or "frames"


def netcdf(model: ExplorerModel) -> bytes:
    """Return the result as a netCDF file, with its recipe."""
    step = recipe(model)
    document = None if step is None else {"version": VERSION, **step.to_dict(Path.cwd())}
    with tempfile.TemporaryDirectory() as folder:
        return write_results(result(model), Path(folder) / "result.nc", recipe=document).read_bytes()


def table(model: ExplorerModel) -> bytes:
    """Return the result as CSV."""
    with tempfile.TemporaryDirectory() as folder:
        return write_csv(result(model), Path(folder) / "result.csv").read_bytes()


def figure(model: ExplorerModel, ending: str) -> bytes:
    """Return the figure of the result as a file with this ending."""
    options: dict[str, Any] = {"x": model.axis, "log": model.log_intensity, "events": model.events}
    with tempfile.TemporaryDirectory() as folder:
        return save_plot(result(model), Path(folder) / f"figure.{ending}", **options).read_bytes()


def recipe_files(model: ExplorerModel) -> dict[str, str]:
    """Return ``recipe.toml`` and the files that it names, and the script; only the script without a recipe."""
    files = {f"{name_of(model)}.py": script(model)}
    step = recipe(model)
    if step is None:
        return files
    inputs = step.inputs if isinstance(step, Stitch) else (step,)
    folders = [one.measurement for one in inputs if isinstance(one, Measure)]
    document: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "sample": folders[0].parent.as_posix(),
        "measurements": [folder.name for folder in folders],
        "rois": "rois.json",
    }
    correcting = model.source.correcting if model.corrected else Correcting()
    if correcting.flatfield is not None:
        document["flatfield"] = correcting.flatfield.resolve().as_posix()
    for name, values in (("changes", model.changes), ("events", model.events)):
        if values:
            document[name] = f"{name}.json"
    if reading := model.source.reading.to_dict():
        document["reading"] = reading
    if rest := replace(correcting, flatfield=None).to_dict(Path.cwd()):
        document["correction"] = _without_none(rest)
    stem = name_of(model)
    document["output"] = {"result": f"{stem}.nc", "table": f"{stem}.csv", "figures": [f"{stem}.png"]}
    document["plot"] = {"x": model.axis, "log": model.log_intensity}
    files["recipe.toml"] = tomli_w.dumps(document)
    files["rois.json"] = model.rois_text()
    if model.changes:
        files["changes.json"] = model.changes_text()
    if model.events:
        files["events.json"] = model.events_text()
    return files


def _without_none(document: dict[str, Any]) -> dict[str, Any]:
    """TOML has no null."""
    return {
        key: _without_none(value) if isinstance(value, dict) else value
        for key, value in document.items()
        if value is not None
    }


def recipe_zip(model: ExplorerModel) -> bytes:
    """Return :func:`recipe_files` in one archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in recipe_files(model).items():
            archive.writestr(name, text)
    return buffer.getvalue()


# -- code -------------------------------------------------------------------------------------------------------------


def script(model: ExplorerModel) -> str:
    """Return the code that makes the result again; text from files stands in it as quoted strings only."""
    source, stem = model.source, name_of(model)
    lines = [HEAD, "", "import xinsitu as xi", "", f"rois = xi.RoiSet.from_dict({_literal(_plain(model))})"]
    lines += _correction_lines(model)
    reading = "".join(f", {name}={value!r}" for name, value in source.reading.to_dict().items())
    lines.append("series = []")
    if source.folders:
        lines.append(f"for folder in {_literal([folder.as_posix() for folder in source.folders])}:")
        lines.append(f"    scan = xi.open_measurement(folder{reading})")
    else:
        lines.append("for scan in [scan]:  # the Dataset that was explored")
    lines.append("    series.append(xi.measure(scan, rois, correction=correction).compute())")
    if len(source.parts) > 1 or model.changes or model.events:
        lines.append("result = xi.stitch(series)")
    else:
        lines.append("result = series[0]")
    if model.changes:
        changes = [change.to_dict() for change in model.changes]
        lines.append(f"changes = [xi.AttenuationChange.from_dict(one) for one in {_literal(changes)}]")
        lines.append("result = xi.correct_attenuation(result, changes)")
    events = [event.to_dict() for event in model.events]
    lines.append(f"events = [xi.Event.from_dict(one) for one in {_literal(events)}]")
    lines.append(f"xi.write_results(result, {stem + '.nc'!r}, overwrite=True)")
    plot = f"x={model.axis!r}, log={model.log_intensity!r}, events=events"
    lines.append(f"xi.save_plot(result, {stem + '.png'!r}, {plot})")
    return "\n".join(lines) + "\n"


def _plain(model: ExplorerModel) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(model.rois_text())
    return {key: value for key, value in document.items() if key not in ("format", "version")}


def _literal(value: object) -> str:
    return pprint.pformat(value, width=110, sort_dicts=False)


def _correction_lines(model: ExplorerModel) -> list[str]:
    """Return the lines that make ``correction``."""
    if model.active_correction is None:
        return ["correction = None"]
    recipe_of, active = model.source.correcting, model.active_correction
    parts = [f"{name}={value!r}" for name in ("median", "threshold") if (value := getattr(active, name)) is not None]
    lines = []
    if active.flatfield is not None and recipe_of.flatfield is not None:
        folder = recipe_of.flatfield.resolve().as_posix()
        if recipe_of.flatfield_median is None:
            lines.append(f"flat = xi.open_flatfield({folder!r})")
        else:
            size = recipe_of.flatfield_median
            lines.append(f"flat = xi.median(xi.open_measurement({folder!r}).image, {size})")
            lines.append("flat = flat.mean('time', dtype='float64').compute()")
            lines.append("flat = flat / flat.mean()")
        parts.append("flatfield=flat")
    elif active.flatfield is not None:
        parts.append("flatfield=flat")
        lines.append("# flat: the flat field that was given to explore()")
    if active.background is not None:
        parts.append(f"background=xi.Background.from_dict({_literal(active.background.to_dict())})")
    return [*lines, f"correction = xi.Correction({', '.join(parts)})"]
