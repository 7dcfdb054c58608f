"""Options that several commands have in common, group by group."""

from __future__ import annotations

import argparse
from pathlib import Path

from xinsitu.defaults import MEDIAN, OUTLIERS

from . import words


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


def zone(one: argparse.ArgumentParser) -> None:
    """Say whose frames these are, and in which zone."""
    one.add_argument(
        "--tz", metavar="ZONE", help="time zone of the stamps, e.g. Asia/Tokyo (default: the instrument's)"
    )
    one.add_argument("--instrument", metavar="NAME", help="instrument or path of its table (default: recognised)")


def reading(one: argparse.ArgumentParser, *, live: bool = False) -> None:
    """Say how frames are opened; ``live``: while they come."""
    zone(one)
    one.add_argument("--time", default="auto", help="where times come from: auto, stamp, period, frame or mtime")
    one.add_argument("--ignore-time-order", action="store_true", help="keep number order where stamps decrease")
    one.add_argument("--period", type=float, metavar="S", help="seconds between frames, for --time period")
    one.add_argument("--stamp-marks", choices=["start", "end"], help="of the exposure (default: the instrument's)")
    one.add_argument("--on-error", choices=["raise", "skip", "nan"], default="raise", help="what to do with bad frames")
    if live:
        one.set_defaults(fill_missing=False, scan=None)  # a missing frame may still come; frames are in files
    else:
        one.add_argument("--fill-missing", action="store_true", help="put a frame of NaN where a number is missing")
        one.add_argument("--scan", metavar="NAME", help="which of several scans in an HDF5 file, e.g. 2.1")
    one.add_argument("--series", metavar="NAME|newest", help="which of several series in the folder")
    one.add_argument("--log", default="auto", metavar="auto|none|FILE", help="log whose counters join the frames")


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
    one.add_argument("--count-rate", type=float, metavar="TAU", help="correct for this dead time in seconds")


def writing(one: argparse.ArgumentParser) -> None:
    """Say what is overwritten, and where it is computed."""
    one.add_argument("--force", action="store_true", help="overwrite what is there")
    where = one.add_mutually_exclusive_group()
    where.add_argument("--scheduler", metavar="tcp://…", help="compute on this dask.distributed cluster")
    where.add_argument("--workers", type=words.positive, metavar="N", help="compute in N processes of this machine")
