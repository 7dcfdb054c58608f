"""Options that several commands have in common, group by group."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NoReturn

from xinsitu.defaults import FURTHER, MEDIAN, OUTLIERS
from xinsitu.errors import print_out
from xinsitu.io.options import KEYWORDS, add_options

from . import words


class Version(argparse.Action):
    """Say the version, and whether the compiled kernel is there: only then is it looked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        """Say it, and end."""
        from xinsitu.native import kernel_name

        print_out(f"xinsitu {self.const} ({kernel_name()} kernel)")
        parser.exit()


def rois(one: argparse.ArgumentParser) -> None:
    """Name the ROIs, and what their pixels are divided by."""
    one.add_argument(
        "--rois", type=Path, required=True, metavar="R.json",
        help="ROI file: ours, ImageJ, BLISS, areaDetector, DAWN, or a mask",
    )  # fmt: skip
    one.add_argument("--flatfield", type=Path, metavar="F", help="folder of flat-field frames")


def geometry(one: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Say where the detector stands."""
    one.add_argument(
        "--geometry", type=Path, required=required, metavar="G.poni|.json", help="where the detector stands, for q"
    )


def calibration(one: argparse.ArgumentParser) -> None:
    """Say what pixels are in reciprocal space."""
    one.add_argument(
        "--calibration", type=words.calibration, action="append", default=[], metavar="AXIS:NAME=FILE[,A]",
        help="pixels along y or x in reciprocal space, a map or vector; A: lattice constant in angstrom",
    )  # fmt: skip


def also(one: argparse.ArgumentParser) -> None:
    """Ask for further quantities of ROIs."""
    one.add_argument(
        "--also", type=words.names, default=[], metavar="A,B",
        help=f"measure these of every ROI, too: {', '.join(FURTHER)} (brightest:25 for 25 pixels)",
    )  # fmt: skip


def fraction(one: argparse.ArgumentParser) -> None:
    """Ask for parts of ROIs in their sum."""
    one.add_argument(
        "--fraction", type=words.names, metavar="A,B,C", help="the part of each of these ROIs in their sum, too"
    )


def bad_frames(one: argparse.ArgumentParser) -> None:
    """Name frames to leave out."""
    one.add_argument(
        "--bad-frames", type=words.bad_frames, action="extend", default=[], metavar="FRAMES",
        help="frames to leave out of factors, fits and figures, such as time2:71,time2:80-85 or positions, 1080-1085",
    )  # fmt: skip


def reading(one: argparse.ArgumentParser, *, live: bool = False) -> None:
    """Say how frames are opened; ``live``: while they come, in files, and where a missing one may still come."""
    add_options(one, *(name for name in KEYWORDS if not live or name not in ("fill_missing", "scan")))


def correcting(one: argparse.ArgumentParser, *, threshold: float = OUTLIERS, live: bool = False) -> None:
    """Say what is done to the frames; ``live``: while they come."""
    one.add_argument("--median", type=words.size, default=MEDIAN, metavar="N", help="N x N median filter; 0 for none")
    one.add_argument(
        "--threshold",
        type=words.not_negative,
        default=threshold,
        metavar="S",
        help="the median replaces only outliers beyond S standard deviations; 0: every pixel",
    )
    one.add_argument("--flatfield-median", type=words.size, metavar="N", help="median filter the flat-field frames too")
    one.add_argument(
        "--background", type=words.box, action="append", metavar="Y0:Y1,X0:X1", help="empty area; several are pooled"
    )
    one.add_argument("--background-mode", choices=["divide", "subtract"], help="what to do with its mean")
    one.add_argument("--mask", type=Path, metavar="FILE", help="pixels not to be used: NeXus, TIFF, npy, EDF or Fit2D")
    if live:
        one.set_defaults(normalise_by=None)  # counters come after their frames
    else:
        one.add_argument("--normalise-by", metavar="COUNTER", help="divide by a counter of the log, e.g. monitor")
    one.add_argument("--dark", type=Path, metavar="D", help="folder of frames without beam, to be subtracted")
    one.add_argument(
        "--background-image", type=Path, metavar="B", help="folder of frames without the sample, to be subtracted"
    )
    one.add_argument("--count-rate", type=float, metavar="TAU", help="correct for this dead time in seconds")


def writing(one: argparse.ArgumentParser) -> None:
    """Say what is overwritten, and where it is computed."""
    one.add_argument("--force", action="store_true", help="overwrite what is there")
    where = one.add_mutually_exclusive_group()
    where.add_argument("--scheduler", metavar="tcp://…", help="compute on this dask.distributed cluster")
    where.add_argument("--workers", type=words.positive, metavar="N", help="compute in N processes of this machine")
