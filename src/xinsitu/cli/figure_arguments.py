"""The arguments of ``plot``, ``compare`` and ``report``: commands that draw results."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from . import option_groups as groups
from .words import interval, names

Add = Callable[[str, str, str], argparse.ArgumentParser]


def add_figures(add: Add) -> None:
    """Add the commands."""
    _plot(add)
    _compare(add)
    _report(add)


class _OneResult(argparse.Action):
    """One result; several are to be compared."""

    def __call__(  # type: ignore[override] # argparse gives a list of paths
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Sequence[Path],
        option: str | None = None,
    ) -> None:
        if len(values) > 1:
            names = " ".join(map(str, values))
            parser.error(f"one result is plotted; 'xinsitu compare {names}' overlays several")
        setattr(namespace, self.dest, values[0])


def _plot(add: Add) -> None:
    one = add(
        "plot",
        "plot results: centre of mass, FWHM and intensity against time",
        "  xinsitu plot 0884.nc\n  xinsitu plot 0884.nc -o 0884.pdf --events events.json --t0 'In shutter open' --log\n"
        "  xinsitu plot 0884.nc -o talk.png --style slide --quantity com_l,intensity --roi WZ,ZB",
    )
    one.add_argument(
        "result", type=Path, nargs="+", action=_OneResult, metavar="RESULT.nc", help="what 'measure' or 'stitch' wrote"
    )
    one.add_argument("-o", "--output", type=Path, metavar="F.png|.pdf|.svg|.html", help="figure (default: RESULT.png)")
    one.add_argument("--events", type=Path, metavar="E.json", help="events to draw")
    one.add_argument("--t0", metavar="EVENT", help="event, or ISO 8601 time, that elapsed time begins at")
    one.add_argument("--x", choices=["elapsed", "local", "utc", "frame"], default="elapsed", help="the x axis")
    one.add_argument("--smooth", metavar="savgol:11,2|mean:5", help="smooth the curves")
    one.add_argument("--derivative", action="store_true", help="plot d/dt")
    one.add_argument("--log", action="store_true", help="logarithmic intensity")
    one.add_argument("--normalise", metavar="START:STOP", help="divide intensities by their mean in this window (s)")
    one.add_argument("--roi", type=names, metavar="A,B", help="only these ROIs")
    one.add_argument("--quantity", type=names, metavar="com,fwhm,intensity", help="only these; com_l for one direction")
    groups.fraction(one)
    one.add_argument("--style", choices=["paper", "slide"], default="paper", help="a column of a journal, or a slide")
    one.add_argument("--size", metavar="WIDTHxHEIGHT", help="in mm, such as 90x120; HTML fills its window")
    one.add_argument("--force", action="store_true", help="overwrite the figure")


def _compare(add: Add) -> None:
    one = add(
        "compare",
        "samples on their own elapsed times, overlaid, with a table of slopes",
        "  xinsitu compare 0884.nc 0885.nc --t0 'In shutter open' --interval 0:60 -o compared.png",
    )
    one.add_argument("results", type=Path, nargs="+", metavar="RESULT.nc", help="what 'stitch' or 'measure' wrote")
    one.add_argument("--t0", metavar="EVENT", help="event that is t = 0 in each (default: the first frame)")
    one.add_argument("--events", type=Path, metavar="E.json", help="events looked through before the samples' own")
    one.add_argument("--interval", type=interval, metavar="START:STOP", help="elapsed seconds to fit the slopes in")
    one.add_argument("--roi", type=names, metavar="A,B", help="only these ROIs")
    groups.fraction(one)
    one.add_argument("--log", action="store_true", help="logarithmic intensity")
    one.add_argument("--table", type=Path, metavar="T.csv", help="write the slopes")
    one.add_argument("-o", "--output", type=Path, metavar="F.png|.pdf|.svg|.html", help="write the figure")
    one.add_argument("--force", action="store_true", help="overwrite what is there")


def _report(add: Add) -> None:
    one = add(
        "report",
        "one page for the logbook: figures, changes with their evidence, ROIs, recipe, what was said of the numbers",
        "  xinsitu report 0884.nc\n  xinsitu report 0884.nc -o 0884.html --t0 'In shutter open'",
    )
    one.add_argument("result", type=Path, metavar="SAMPLE.nc", help="what 'stitch', 'run' or 'measure' wrote")
    one.add_argument("-o", "--output", type=Path, metavar="F.html", help="page (default: SAMPLE_report.html)")
    one.add_argument("--events", type=Path, metavar="E.json", help="events to draw")
    one.add_argument("--t0", metavar="EVENT", help="event, or ISO 8601 time, that elapsed time begins at")
    one.add_argument("--log", action="store_true", help="logarithmic intensity")
    one.add_argument("--force", action="store_true", help="overwrite the page")
