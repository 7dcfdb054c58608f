"""The commands, their arguments and their help."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any, NoReturn, get_args

from xinsitu.defaults import MOST_PEAKS, PeakShape
from xinsitu.errors import in_a_line, print_out, without_long_words
from xinsitu.io.options import add_options

from . import option_groups as groups
from .figure_arguments import add_figures
from .words import box, change, figure, limits, not_negative, positive, still_figure

Command = Callable[[argparse.Namespace], int]


class _Format(argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
    """Examples as they are written, and defaults where they say something."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        silent = action.default in (None, False, (), []) or action.nargs == 0
        return action.help if silent else super()._get_help_string(action)

    def _format_usage(self, usage: str | None, actions: Any, groups: Any, prefix: str | None) -> str:  # noqa: ANN401
        """Show what has to be given; the options stand below, by topics."""
        wanted = [action for action in actions if action.required or not action.option_strings]
        text = super()._format_usage(usage, wanted, [], prefix)
        return f"{text.rstrip()} [options]\n\n" if len(wanted) < len(list(actions)) else text


READ, CORRECT, WRITE, RARE = "what to read", "how to correct", "where to write", "rarely needed"
_TOPICS = {
    **dict.fromkeys(("--tz", "--instrument", "--rois", "--flatfield", "--log", "--series", "--events"), READ),
    **dict.fromkeys(("--median", "--threshold", "--background", "--background-mode", "--mask", "--crop"), CORRECT),
    "--geometry": READ,
    **dict.fromkeys(("--normalise-by", "--bad-frames", "--dark", "--background-image"), CORRECT),
    **dict.fromkeys(("--output", "--force", "--figure", "--report", "--proposal", "--table", "--compression"), WRITE),
    **dict.fromkeys(("--time", "--ignore-time-order", "--period", "--stamp-marks", "--on-error"), RARE),
    **dict.fromkeys(("--fill-missing", "--scan", "--flatfield-median", "--count-rate", "--scheduler"), RARE),
    **dict.fromkeys(("--calibration", "--transpose", "--port", "--public", "--seed", "--outside"), RARE),
    **dict.fromkeys(("--allow-overlap", "--same-rois", "--append-to", "--workers"), RARE),
}
"""Where an option stands in the help of any command; the others stand under ``options``."""


class _Parser(argparse.ArgumentParser):
    """Help by topics, what is rarely needed last; wrong words are told in one line."""

    def __init__(self, **how: Any) -> None:  # noqa: ANN401 - passed on
        self._topics: dict[str, argparse._ArgumentGroup] = {}
        super().__init__(**how)
        read = self.add_argument_group(READ)
        own = self._action_groups.index(self._optionals)
        self._action_groups.insert(own, self._action_groups.pop())
        self._topics = {READ: read, **{title: self.add_argument_group(title) for title in (CORRECT, WRITE, RARE)}}

    def add_argument(self, *names: Any, **how: Any) -> argparse.Action:  # noqa: ANN401 - passed on
        """Put an argument where it belongs."""
        given = [name for name in names if isinstance(name, str)]
        topic = next((_TOPICS[name] for name in given if name in _TOPICS), None)
        if given == ["--log"] and "action" in how:  # a logarithmic axis
            topic = None
        if topic is None and given and not given[0].startswith("-"):
            topic = READ
        group = self._topics.get(topic or "")
        return super().add_argument(*names, **how) if group is None else group.add_argument(*names, **how)

    def _print_message(self, message: str, file: Any = None) -> None:  # noqa: ANN401 - as argparse has it
        """Print help as all else is printed: argparse does not mind whether anybody gets it."""
        if file is sys.stdout:
            print_out(message, end="")
        else:
            super()._print_message(message, file)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one line; the help has the rest."""
        said = without_long_words(in_a_line(" ".join(message.split())))
        self.exit(2, f"{self.prog}: error: {said} ('{self.prog} --help' tells more)\n")


def parser(version: str, commands: dict[str, Command]) -> argparse.ArgumentParser:
    """Return the parser; each name of ``commands`` is called with what was parsed."""
    top = _Parser(
        prog="xinsitu",
        description="Area-detector frames from in situ X-ray experiments, turned into physics.",
        epilog="examples:\n  xinsitu demo\n  xinsitu info 0884\n  xinsitu parse 0884/time1 flatfield1\n\n"
        "'xinsitu COMMAND --help' tells more of each. Instruments that come with it, recognised by their frames:\n"
        f"{', '.join(_shipped())}; 'xinsitu instrument' tells more.",
        formatter_class=_Format,
    )
    top.add_argument(
        "--version", action=groups.Version, nargs=0, const=version, help="show the version, and which kernel runs"
    )
    top.add_argument("--debug", action="store_true", help="show the traceback of an error")
    top.add_argument("--verbose", action="store_true", help="tell what is done on the way")
    made = top.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def add(name: str, summary: str, examples: str) -> argparse.ArgumentParser:
        one = made.add_parser(
            name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.",
            epilog=f"examples:\n{examples}", formatter_class=_Format,
        )  # fmt: skip
        one.set_defaults(run=commands[name])
        return one

    _demo(add)
    _info(add)
    _parse(add)
    _explore(add)
    _measure(add)
    _watch(add)
    _two_time(add)
    _fit(add)
    _radial(add)
    _stitch(add)
    add_figures(add)
    _run(add)
    _instrument(add)
    _explain(add)
    _convert(add)
    _completion(add)
    return top


Add = Callable[[str, str, str], argparse.ArgumentParser]


def _shipped() -> list[str]:
    """Names of the instruments that come with the package; their tables are not read."""
    tables = resources.files("xinsitu").joinpath("instruments").iterdir()
    return sorted(table.name.removesuffix(".toml") for table in tables)


def _demo(add: Add) -> None:
    one = add("demo", "simulate a sample and do the whole job on it", "  xinsitu demo\n  xinsitu demo /tmp/demo")
    one.add_argument("folder", nargs="?", type=Path, default=Path("xinsitu-demo"), help="new folder for all of it")
    one.add_argument("--seed", type=int, default=0, help="of the simulated noise")


def _info(add: Add) -> None:
    one = add(
        "info",
        "say what is there: frames, times, gaps, faults",
        "  xinsitu info 0884\n  xinsitu info 0884/time1\n  xinsitu info 0884/time1 --check",
    )
    one.add_argument("path", type=Path, help="sample, measurement or flat-field folder; a pattern; one file")
    one.add_argument("--check", action="store_true", help="read and decode every pixel too, not only the headers")
    add_options(one, "tz", "instrument", "scan")


def _parse(add: Add) -> None:
    one = add(
        "parse",
        "corrected frames and times to HDF5",
        "  xinsitu parse 0884/time1 flatfield1\n"
        "  xinsitu parse 0884/time1 flatfield1 --background 70:90,150:170 --crop 70:135,150:370 -o time1.nc",
    )
    one.add_argument("measurement", type=Path, help="folder of frames")
    one.add_argument("flatfield", type=Path, nargs="?", help="folder of flat-field frames")
    one.add_argument("-o", "--output", type=Path, metavar="F.nc|F.zarr", help="to write (SAMPLE_MEASUREMENT_frames.nc)")
    one.add_argument("--crop", type=box, metavar="Y0:Y1,X0:X1", help="keep only these rows and columns")
    one.add_argument("--compression", choices=["deflate", "bitshuffle-lz4"], help="smaller; the second is fast")
    groups.correcting(one, threshold=0.0)
    groups.reading(one)
    groups.writing(one)


def _explore(add: Add) -> None:
    one = add(
        "explore",
        "the detector in a browser, with ROIs and their curves",
        "  xinsitu explore 0884/time1 flatfield1 --rois rois.json\n  xinsitu explore 0884",
    )
    one.add_argument("path", type=Path, metavar="SAMPLE/MEASUREMENT", help="measurement or sample folder")
    one.add_argument("flatfield", type=Path, nargs="?", help="folder of flat-field frames")
    one.add_argument("--rois", type=Path, metavar="R.json", help="ROIs to begin with")
    groups.geometry(one, required=False)
    groups.calibration(one)
    one.add_argument("--port", type=int, default=0, help="of the server; 0 takes a free one")
    one.add_argument("--no-browser", action="store_true", help="only print the address")
    one.add_argument("--public", action="store_true", help="serve other machines too")
    one.add_argument("--follow", action="store_true", help="show new frames as they come; wait for the first one")
    one.add_argument("--console", action="store_true", help="a Python prompt with explorer.rois, .series, .changes")
    groups.correcting(one)
    groups.reading(one)


def _measure(add: Add) -> None:
    one = add(
        "measure",
        "ROI time series of measurements",
        "  xinsitu measure 0884/time1 --rois rois.json --flatfield flatfield1\n"
        "  xinsitu measure 0884 --rois rois.json -o results/",
    )
    one.add_argument(
        "measurements",
        type=Path,
        nargs="+",
        metavar="MEASUREMENT|SAMPLE",
        help="folders of frames, or samples (without test*)",
    )
    groups.rois(one)
    one.add_argument("--smooth", type=positive, metavar="N", help="smooth profiles over N bins for their FWHM")
    groups.also(one)
    one.add_argument("--profiles", action="store_true", help="keep the profiles of all ROIs, too")
    groups.calibration(one)
    one.add_argument("--transpose", action="store_true", help="calibration files have the detector's columns first")
    one.add_argument("-o", "--output", metavar="S.nc|DIR/", help="file, or folder for one file each")
    groups.bad_frames(one)
    groups.correcting(one)
    groups.reading(one)
    groups.writing(one)


def _watch(add: Add) -> None:
    one = add(
        "watch",
        "live numbers of a measurement that is being taken",
        "  xinsitu watch 0884/time3 --rois rois.json -o time3.nc\n"
        "  xinsitu watch 0884/time3 --rois rois.json --json --until-idle 60 > time3.jsonl",
    )
    one.add_argument(
        "measurement",
        type=Path,
        help="folder that frames are written to, or HDF5 file that grows; it need not be there yet",
    )
    groups.rois(one)
    one.add_argument("--smooth", type=positive, metavar="N", help="smooth profiles over N bins for their FWHM")
    groups.also(one)
    one.add_argument("-o", "--output", type=Path, metavar="S.nc", help="file to keep up to date; whole at every moment")
    one.add_argument("--figure", type=figure, metavar="F.png|.html", help="figure to keep up to date")
    one.add_argument("--json", action="store_true", help="a line of JSON for each frame on stdout")
    one.add_argument(
        "--until-idle", type=not_negative, metavar="S",
        help="end when no frame has come for S seconds, counted from the first one on",
    )  # fmt: skip
    groups.correcting(one, live=True)
    groups.reading(one, live=True)
    one.add_argument("--force", action="store_true", help="overwrite what is there")


def _two_time(add: Add) -> None:
    one = add(
        "two-time",
        "show when anything changed: how alike all frames are",
        "  xinsitu two-time 0884/time1 --rois rois.json --roi WZ -o WZ.png",
    )
    one.add_argument("measurement", type=Path, help="folder of frames")
    groups.rois(one)
    one.add_argument("--roi", metavar="NAME", help="which ROI (default: the first signal)")
    one.add_argument(
        "--kind", choices=["correlation", "intensity"], default="correlation",
        help="of the pixels about their mean, or of intensities as in photon correlation",
    )  # fmt: skip
    one.add_argument("--x", choices=["elapsed", "local", "utc", "frame"], default="elapsed", help="axes")
    groups.correcting(one)
    groups.reading(one)
    one.add_argument("-o", "--output", type=still_figure, metavar="F.png|.pdf|.svg", help="default: S_M_two_time.png")
    one.add_argument("--force", action="store_true", help="overwrite what is there")


def _fit(add: Add) -> None:
    one = add(
        "fit",
        "fit one or several peaks to the profiles of ROIs",
        "  xinsitu fit 0884/time1 --rois rois.json -o fits.nc\n"
        "  xinsitu fit 0884/time1 --rois rois.json --shape pseudo_voigt --peaks 2 --follow",
    )
    one.add_argument("measurement", type=Path, help="folder of frames")
    groups.rois(one)
    one.add_argument("--shape", choices=get_args(PeakShape), default="gaussian", help="of a peak")
    one.add_argument("--peaks", type=int, choices=range(1, MOST_PEAKS + 1), default=1, help="of a profile, or at most")
    one.add_argument("--shared-width", action="store_true", help="all peaks of a profile have one width")
    one.add_argument("--follow", action="store_true", help="follow up to that many peaks as they come, go and cross")
    groups.correcting(one)
    groups.reading(one)
    one.add_argument("-o", "--output", type=Path, metavar="F.nc", help="file to write (default: S_M_fits.nc)")
    groups.writing(one)


def _radial(add: Add) -> None:
    one = add(
        "radial",
        "profiles along q, scattering angle or azimuth in time, by pyFAI",
        "  xinsitu radial 0884/time1 --geometry waxs.poni --chi -20:20 -o sector.nc\n"
        "  xinsitu radial 0884/time1 --geometry waxs.poni --along chi --q 1.9:2.0 --bins 90 --figure ring.png",
    )
    one.add_argument("measurement", type=Path, help="folder of frames")
    groups.geometry(one)
    one.add_argument("--along", choices=["q", "two_theta", "chi"], default="q", help="axis of the profiles")
    one.add_argument("--bins", type=positive, default=500, metavar="N", help="their number")
    one.add_argument("--q", type=limits, metavar="A:B", help="only pixels with q between these, in 1/angstrom")
    one.add_argument("--two-theta", type=limits, metavar="A:B", help="only these scattering angles, in degrees")
    one.add_argument("--chi", type=limits, metavar="A:B", help="only these azimuths, in degrees: a sector")
    one.add_argument("--no-solid-angle", action="store_true", help="do not divide by the solid angle of pixels")
    one.add_argument("--flatfield", type=Path, metavar="F", help="folder of flat-field frames")
    groups.correcting(one)
    groups.reading(one)
    one.add_argument("-o", "--output", type=Path, metavar="F.nc", help="file to write (default: S_M_radial.nc)")
    one.add_argument("--figure", type=still_figure, metavar="F.png|.pdf|.svg", help="draw them against time")
    one.add_argument("--x", choices=["elapsed", "local", "utc", "frame"], default="elapsed", help="time of the figure")
    groups.writing(one)


def _stitch(add: Add) -> None:
    one = add(
        "stitch",
        "join time series of a sample, corrected for every change of attenuation",
        "  xinsitu stitch results/ --find -o 0884.nc\n"
        "  xinsitu stitch time1.nc time2.nc time3.nc --changes changes.json\n"
        "  xinsitu stitch results/ --change time2:71,time3:0 --bad-frames time1:12,time2:30-33",
    )
    one.add_argument("results", type=Path, nargs="+", metavar="RESULT.nc|FOLDER", help="what 'measure' wrote")
    which = one.add_mutually_exclusive_group()
    which.add_argument("--changes", type=Path, metavar="C.json", help="changes of attenuation, two end points each")
    which.add_argument(
        "--change", type=change, action="append", metavar="BEFORE,AFTER",
        help="a change between two frames, such as time2:71,time3:0 or, by position, 1079,1081; several may be given",
    )  # fmt: skip
    which.add_argument("--find", action="store_true", help="find the changes in the data")
    one.add_argument(
        "--proposal", type=Path, metavar="C.json", help="write the changes found, to be edited and used again"
    )
    one.add_argument("--overlap", metavar="COORDINATE", help="factors from what two scans of this coordinate share")
    one.add_argument("--events", type=Path, metavar="E.json", help="events to keep in the result")
    one.add_argument("--reference", metavar="ROI", help="take the factors from this ROI alone")
    one.add_argument("--window", type=positive, metavar="N", help="take the factors from N frames on each side")
    one.add_argument("--stays", metavar="first|last|MEASUREMENT", help="the part left as measured (default: first)")
    one.add_argument("--append-to", type=Path, metavar="SAMPLE.nc", help="append to this sample, into a new file")
    one.add_argument("--same-rois", type=Path, metavar="R.json", help="measure every input again with these ROIs")
    one.add_argument("--allow-overlap", action="store_true", help="join measurements that overlap in time")
    groups.bad_frames(one)
    one.add_argument("--figure", type=figure, metavar="F.png|.pdf|.svg|.html", help="draw the joined curves")
    one.add_argument("--report", type=Path, metavar="F.png|.pdf|.svg", help="draw each change: points, lines, factor")
    one.add_argument("-o", "--output", type=Path, metavar="SAMPLE.nc", help="file to write (default: SAMPLE.nc)")
    groups.writing(one)


def _run(add: Add) -> None:
    one = add(
        "run",
        "measure, stitch and plot whole samples; or do a result again and compare",
        "  xinsitu run recipe.toml\n  xinsitu run beamtime/\n  xinsitu run 0884.nc",
    )
    one.add_argument(
        "recipe", type=Path, nargs="+", metavar="recipe.toml|FOLDER|RESULT.nc",
        help="recipes, folders of recipes, or a result that holds one",
    )  # fmt: skip
    groups.bad_frames(one)
    one.add_argument("--outside", action="store_true", help="let a recipe write outside its own folder, too")
    groups.writing(one)


def _instrument(add: Add) -> None:
    one = add(
        "instrument",
        "list the instruments that are known, or make one the default",
        "  xinsitu instrument\n  xinsitu instrument spring8-bl11xu\n  xinsitu instrument --forget",
    )
    which = one.add_mutually_exclusive_group()
    which.add_argument("name", nargs="?", metavar="NAME", help="to take for all frames; a name, or a path of a table")
    which.add_argument("--forget", action="store_true", help="have none: frames are recognised by their tables again")


def _explain(add: Add) -> None:
    one = add(
        "explain",
        "say what a warning means and what to do about it",
        "  xinsitu explain no-zone\n  xinsitu explain",
    )
    one.add_argument("warning", nargs="*", metavar="NAME", help="what the warning ends with, or its words; none: all")


def _convert(add: Add) -> None:
    one = add("convert", "a pickle of the old scripts to netCDF; nothing in it is run", "  xinsitu convert results.p")
    one.add_argument("path", type=Path, metavar="OLD.p", help="pickle of arrays, tables, numbers, texts, lists, dicts")
    one.add_argument("-o", "--output", type=Path, metavar="NEW.nc", help="file to write (default: OLD.nc)")
    one.add_argument("--force", action="store_true", help="overwrite what is there")


def _completion(add: Add) -> None:
    one = add(
        "completion",
        "print what lets a shell complete commands and options",
        "  xinsitu completion bash > ~/.local/share/bash-completion/completions/xinsitu\n"
        "  xinsitu completion zsh > ~/.zfunc/_xinsitu",
    )
    one.add_argument("shell", choices=["bash", "zsh", "tcsh"], help="which shell")
