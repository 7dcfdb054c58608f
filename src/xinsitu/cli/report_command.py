"""``report``: one page for the logbook."""

from __future__ import annotations

import argparse
from pathlib import Path

from xinsitu.errors import SchemaError
from xinsitu.io.documents import read_events
from xinsitu.io.guard import check_outputs
from xinsitu.io.results import read_results

from .console import say


def report(words: argparse.Namespace) -> int:
    """Write the report of a result."""
    from xinsitu.plots.report import save_report

    result = read_results(words.result)
    if "roi" not in result.dims:
        raise SchemaError(f"{words.result}: holds no time series of ROIs; make these with 'xinsitu measure'")
    output: Path = words.output or Path(f"{words.result.stem}_report.html")
    check_outputs([output], inputs=[words.result, words.events], overwrite=words.force)
    events = read_events(words.events) if words.events else ()
    save_report(
        result,
        output,
        source=words.result.name,
        events=events,
        t0=words.t0,
        log=words.log,
        overwrite=words.force,
    )
    say(f"wrote {output.resolve()}")
    return 0
