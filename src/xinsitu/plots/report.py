"""One page for the logbook: figures, changes with their evidence, ROIs, what was said of the numbers, recipe."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from xinsitu.digits import with_error
from xinsitu.errors import SchemaError
from xinsitu.io.disk import write_whole
from xinsitu.io.guard import output_path
from xinsitu.io.results import flags_of, remarks_of
from xinsitu.physics.attenuation.scaling import attenuation_changes, undo_attenuation
from xinsitu.physics.samples.events import events_of
from xinsitu.values import AttenuationChange, Event
from xinsitu.values.fields import roi_records

from .change_report import plot_changes
from .change_rows import change_rows, local_text
from .curves import colours, drawing
from .markup import as_html, visible
from .paper import paper_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAPER = 180
"""Width of the figures in mm: what A4 leaves between its margins."""
PANEL = 38
"""Height of each panel in mm."""
LARGE = 2 * 2**20
"""Bytes; a figure of more is kept as pixels: long runs are hundreds of thousands of points."""
_STYLE = """
@page { size: A4; margin: 14mm }
html { font: 10.5pt/1.4 "DejaVu Sans", Verdana, sans-serif; color: #111; background: #fff }
body { max-width: 190mm; margin: 6mm auto; padding: 0 4mm }
h1 { font-size: 17pt; margin: 0 0 1mm } h2 { font-size: 12.5pt; margin: 7mm 0 2mm; break-after: avoid }
p, li { margin: 1mm 0 } figure { margin: 0; break-inside: avoid } img { max-width: 100%; height: auto }
table { border-collapse: collapse; font-size: 8.5pt; width: 100% } tr { break-inside: avoid }
th { text-align: left; border-bottom: 1px solid #555; font-weight: 600 } td { border-bottom: 1px solid #ddd }
th, td { padding: 0.7mm 1.6mm 0.7mm 0; vertical-align: top; overflow-wrap: break-word }
td.number { text-align: right; padding-right: 8mm; white-space: nowrap; font-variant-numeric: tabular-nums }
pre { font-size: 7.5pt; white-space: pre-wrap; overflow-wrap: anywhere; background: #f4f4f4; padding: 2mm }
.swatch { display: inline-block; width: 3mm; height: 3mm; margin-right: 1.5mm; border: 1px solid #555;
  print-color-adjust: exact }
"""


def save_report(
    sample: xr.Dataset,
    path: Path,
    *,
    source: str = "",
    events: Iterable[Event] = (),
    t0: object = None,
    log: bool = False,
    overwrite: bool = False,
) -> Path:
    """Write the report of a sample or a ROI time series as one HTML file that needs no network and prints on A4.

    Parameters
    ----------
    sample
        What :func:`~xinsitu.stitch` or :func:`~xinsitu.measure` gave.
    path
        A file that ends in ``.html``.
    source
        Name of the file that the numbers are in.
    events, t0, log
        As in :func:`~xinsitu.plot`.
    overwrite
        Replace a file of this name.

    Raises
    ------
    SchemaError
        It holds no time series, or the name has another ending.
    ResultExists
        The file is there and ``overwrite`` is false.
    """
    path = output_path(path, overwrite=overwrite)
    if path.suffix.lower() not in (".html", ".htm"):
        raise SchemaError(f"{path}: a report ends in .html")
    page = report_page(sample, source=source, events=events, t0=t0, log=log)
    return write_whole(path, page.encode("utf-8", "replace"), overwrite=overwrite)


def report_page(
    sample: xr.Dataset, *, source: str = "", events: Iterable[Event] = (), t0: object = None, log: bool = False
) -> str:
    """Return the page as text; the parameters are those of :func:`save_report`."""
    events = tuple(events) or events_of(sample)
    figure = drawing(sample, events=events, t0=t0, log=log)
    name = str(np.unique(sample["sample"].values)[0]) if "sample" in sample.coords else Path(source).stem
    curves = paper_figure(figure, size=f"{PAPER}x{max(70, 22 + PANEL * len(figure.panels))}")
    parts = [
        f"<h1>{as_html(name or 'Report')}</h1>",
        _table(("measurement", "frames", "begins", "ends"), _measurements(sample)),
        _section("Curves", _picture(curves, "centre of mass, width and intensity against time")),
        _section("Changes of attenuation", _changes(sample)),
        _section("Events", _events(sample, events)),
        _section("Regions of interest", _rois(sample)),
        _section("What was said of the numbers", _said(sample)),
        _section("How it was made", _made(sample, source)),
    ]
    head = (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
        'img-src data:">'
        f'<meta name="viewport" content="width=device-width"><title>{as_html(name)}</title><style>{_STYLE}</style>'
    )
    return f"{head}</head><body>\n{chr(10).join(part for part in parts if part)}\n</body></html>\n"


def _section(title: str, content: str) -> str:
    return f"<h2>{as_html(title)}</h2>\n{content}" if content else ""


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table; every text in it is escaped, numbers stand to the right."""
    lines = ["<tr>" + "".join(f"<th>{as_html(cell)}</th>" for cell in header) + "</tr>"]
    for row in rows:
        cells = (
            f"<td{' class=number' if isinstance(cell, int | float) else ''}>{as_html(str(cell))}</td>" for cell in row
        )
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return f"<table>{''.join(lines)}</table>" if len(lines) > 1 else ""


def _picture(figure: Figure, text: str) -> str:
    content, kind = _bytes(figure, "svg", metadata={"Date": None}), "svg+xml"
    if len(content) > LARGE:
        content, kind = _bytes(figure, "png", dpi=220), "png"
    data = base64.b64encode(content).decode()
    return f'<figure><img alt="{as_html(text)}" src="data:image/{kind};base64,{data}"></figure>'


def _bytes(figure: Figure, kind: str, **options: Any) -> bytes:  # noqa: ANN401 - as savefig has them
    content = io.BytesIO()
    figure.savefig(content, format=kind, **options)
    return content.getvalue()


def _measurements(sample: xr.Dataset) -> list[tuple[object, ...]]:
    """Measurements in their order: frames, first and last time in the zone of the instrument."""
    names = np.broadcast_to(
        sample["measurement"].values.astype(str) if "measurement" in sample.coords else "", sample.sizes["time"]
    )
    rows: list[tuple[object, ...]] = []
    for name in dict.fromkeys(names.tolist()):
        times = sample["time"].values[names == name]
        rows.append((name, len(times), local_text(sample, times.min()), local_text(sample, times.max())))
    return rows


def _changes(sample: xr.Dataset) -> str:
    changes = attenuation_changes(sample)
    if not changes:
        return "<p>None was corrected.</p>"
    header, rows = change_rows(sample)
    table = _table(header, rows)
    evidence = _table(
        ("change", "ratio of each ROI", "chi square", "frames on each side", "how", "note"),
        [(number, *_evidence(change)) for number, change in enumerate(changes, 1)],
    )
    return (
        f"{table}\n{_picture(plot_changes(undo_attenuation(sample), changes), 'evidence of each change')}\n{evidence}"
    )


def _evidence(change: AttenuationChange) -> tuple[object, ...]:
    """Return in words what a factor stands on."""
    found = change.evidence
    factors = found.get("factors")
    ratios = [
        f"{roi} {with_error(of.get('factor', float('nan')), of.get('factor_errors'))}"
        for roi, of in (factors.items() if isinstance(factors, Mapping) else ())
    ]
    chi, freedom = found.get("chi_squared"), found.get("degrees_of_freedom", "?")
    told = f"{chi:.2g} for {freedom} degrees of freedom" if chi is not None and freedom else ""  # of one ROI: none
    how = [str(found[name]) for name in ("method", "record_text", "pause_text", "reason") if found.get(name)]
    if "coordinate" in found:
        how[:1] = [f"{found.get('points')} points of {found['coordinate']} that both scans share"]
    return "; ".join(ratios), told, found.get("window", ""), "; ".join(how), change.note


def _events(sample: xr.Dataset, events: Iterable[Event]) -> str:
    rows = [(event.name, _moment(sample, event.start), _moment(sample, event.stop)) for event in events]
    return _table(("event", "begins", "ends"), rows)


def _moment(sample: xr.Dataset, moment: object) -> str:
    if moment is None:
        return ""
    return local_text(sample, moment) if isinstance(moment, np.datetime64) else str(moment)


def _rois(sample: xr.Dataset) -> str:
    """Boxes as they were measured, each with its colour in the figures."""
    known, rows = roi_records(sample), []
    for name, colour in colours(sample).items():
        roi = known.get(name, {})
        box = [":".join(map(str, _list(roi.get(axis)))) for axis in "yx"]
        background = ", ".join(map(str, _list(roi.get("background"))))
        moves = "moves" if roi.get("path") else ""
        measured = ", ".join(map(str, _list(roi.get("measure")))) or "all"
        cells = "".join(
            f"<td>{as_html(str(cell))}</td>" for cell in (*box, roi.get("role", ""), background, measured, moves)
        )
        rows.append(
            f'<tr><td><span class="swatch" style="background:{as_html(colour)}"></span>{as_html(name)}</td>{cells}</tr>'
        )
    head = "".join(
        f"<th>{title}</th>" for title in ("ROI", "rows y", "columns x", "role", "background", "measured", "")
    )
    return f"<table><tr>{head}</tr>{''.join(rows)}</table>"


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _said(sample: xr.Dataset) -> str:
    """Warnings that stayed with the numbers, and how often each flag is set."""
    remarks = [f"<li>{as_html(text)}</li>" for text in remarks_of(sample)]
    flags = [tuple(text.split(": ", 1)) for text in flags_of(sample)]
    said = f"<ul>{''.join(remarks)}</ul>" if remarks else "" if flags else "<p>No warning.</p>"
    return said + (_table(("flag", "where"), flags) if flags else "<p>No flag is set.</p>")


def _made(sample: xr.Dataset, source: str) -> str:
    attrs = sample.attrs
    versions = {"xinsitu": attrs.get("xinsitu_version", ""), **_json(attrs.get("versions"))}
    facts = {
        "result": source,
        "sources": ", ".join(map(str, _json(attrs.get("sources"), []))),
        "instrument": attrs.get("instrument", ""),
        "detector": ", ".join(str(attrs[name]) for name in ("detector", "detector_serial") if name in attrs),
        "times": ", ".join(
            str(attrs[name]) for name in ("time_source", "time_zone", "time_zone_source") if name in attrs
        ),
        "correction": _correction(_json(attrs.get("correction"))),
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items() if version),
    }
    table = _table(("", ""), [(name, text) for name, text in facts.items() if text])
    recipe = _json(attrs.get("recipe"))
    if not recipe:
        return f"{table}<p>The result holds no recipe.</p>"
    return f"{table}<h2>Recipe</h2><pre>{chr(10).join(map(as_html, _lines(recipe)))}</pre>"


def _lines(recipe: Mapping[str, Any]) -> list[str]:
    """Return JSON with a line for each key, and for each member of a list of steps: it has to fit on paper."""
    lines = []
    for name, value in recipe.items():
        if isinstance(value, list) and len(value) > 1:
            members = [f"    {json.dumps(one, ensure_ascii=False)}" for one in value]
            lines += [f"  {json.dumps(name)}: [", *(f"{one}," for one in members[:-1]), members[-1], "  ],"]
        else:
            lines.append(f"  {json.dumps(name)}: {json.dumps(value, ensure_ascii=False)},")
    return ["{", *lines[:-1], lines[-1].removesuffix(","), "}"]


def _correction(steps: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name} {value.get('source') or json.dumps(value) if isinstance(value, dict) else value}"
        for name, value in steps.items()
        if value is not None
    )


def _json(text: object, otherwise: Any = None) -> Any:  # noqa: ANN401 - whatever a file holds
    """Return what a JSON attribute says; files come from anywhere, and one that makes no sense says nothing."""
    nothing: Any = {} if otherwise is None else otherwise
    try:
        found = json.loads(visible(text)) if isinstance(text, str) else nothing
    except ValueError:
        return nothing
    return found if isinstance(found, type(nothing)) else nothing
