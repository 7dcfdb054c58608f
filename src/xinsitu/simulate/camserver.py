"""Frames byte for byte as the PILATUS server camserver writes them, and the SPEC log beside them.

A camserver TIFF has a header of 4096 bytes: the IFD at 130, the fixed texts before it, the text of tag 270 at 580;
then one strip of signed 32-bit pixels.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt

HEADER_SIZE = 4096
_ARTIST, _STAMP, _MODEL, _SOFTWARE, _IFD = 10, 30, 62, 110, 130
_RESOLUTION, _ANGLES, _TEXT = 484, 500, 580
_SHORT, _LONG, _ASCII, _RATIONAL, _FLOAT = 3, 4, 2, 5, 11


@dataclass(frozen=True)
class Detector:
    """What the header says of the detector; the defaults are a PILATUS 100K.

    Parameters
    ----------
    shape
        Rows and columns.
    model
        Tag 272.
    exposure_time, exposure_period
        Seconds.
    count_cutoff
        Counts at which a pixel is saturated.
    threshold
        Energy threshold in eV.
    """

    shape: tuple[int, int] = (195, 487)
    model: str = "PILATUS 100K, S/N 1-0884, SPring-8"
    exposure_time: float = 0.95
    exposure_period: float = 0.98
    count_cutoff: int = 1_380_198
    threshold: int = 5000

    @property
    def text(self) -> str:
        """Tag 270: one ``# Key value`` per line, as of 2014."""
        lines = (
            "Pixel_size 172e-6 m x 172e-6 m",
            "Silicon sensor, thickness 0.000320 m",
            f"Exposure_time {self.exposure_time:.7f} s",
            f"Exposure_period {self.exposure_period:.7f} s",
            "Tau = 199.1e-09 s",
            f"Count_cutoff {self.count_cutoff} counts",
            f"Threshold_setting: {self.threshold} eV",
            "Gain_setting: mid gain (vrf = -0.200)",
            "N_excluded_pixels = 0",
            "Excluded_pixels: (nil)",
            "Flat_field: (nil)",
            f"Trim_file: p100k0884_T{self.threshold}_vrf_m0p20.bin",
            "Image_path: /home/det/p2_det/images/",
            "Energy_range (0, 0) eV",
            "Detector_distance 1.00000 m",
            "Detector_Voffset 0.00000 m",
            "Beam_xy (0.00, 0.00) pixels",
            "Flux 0.0000 ph/s",
            "Filter_transmission 1.0000",
            "Start_angle 0.0000 deg.",
            "Angle_increment 0.1000 deg.",
            "Detector_2theta 0.0000 deg.",
            "Polarization 0.990",
            "Alpha 0.0000 deg.",
            "Kappa 0.0000 deg.",
            "Phi 0.0000 deg.",
            "Chi 0.0000 deg.",
            "Oscillation_axis X, CW",
            "N_oscillations 1",
        )
        return "".join(f"# {line}\r\n" for line in lines)


def tiff_header(detector: Detector, stamp: str) -> bytes:
    r"""Return the first 4096 bytes of a frame.

    Parameters
    ----------
    detector
        Shape, model and settings.
    stamp
        Tag 306, 19 characters ``2014:05:28 17:01:59``, the local time of the detector's computer.

    Examples
    --------
    >>> header = tiff_header(Detector(), "2014:05:28 17:01:59")
    >>> len(header), header[:4], header[30:49], header[110:128]
    (4096, b'II*\x00', b'2014:05:28 17:01:59', b'TVX TIFF v 1.3    ')
    """
    rows, columns = detector.shape
    text = detector.text.encode("ascii")
    text_count = -(-(len(text) + 1) // 4) * 4  # with its NUL, padded to whole words
    entries: Sequence[tuple[int, int, int, int | float]] = (
        (254, _LONG, 1, 0),
        (256, _LONG, 1, columns),
        (257, _LONG, 1, rows),
        (258, _SHORT, 1, 32),
        (259, _SHORT, 1, 1),
        (262, _SHORT, 1, 1),
        (270, _ASCII, text_count, _TEXT),
        (272, _ASCII, 48, _MODEL),
        (273, _LONG, 1, HEADER_SIZE),
        (278, _LONG, 1, rows),
        (279, _LONG, 1, rows * columns * 4),
        (282, _RATIONAL, 1, _RESOLUTION),
        (283, _RATIONAL, 1, _RESOLUTION + 8),
        (305, _ASCII, 20, _SOFTWARE),
        (306, _ASCII, 32, _STAMP),
        (315, _ASCII, 20, _ARTIST),
        (339, _SHORT, 1, 0x20002),  # camserver fills both halves with "signed integer"
        (36864, _ASCII, 0, 0),
        (36865, _LONG, 1, 0),
        (36866, _LONG, 1, 0),
        (36867, _FLOAT, 1, detector.exposure_time),
        (36868, _FLOAT, 1, 0.0),
        (36870, _ASCII, 0, rows * columns * 4),
        *((tag, _FLOAT, 1, 0.0) for tag in (36876, 36877, 36878, 36879, 36880)),
        (37120, _LONG, 20, _ANGLES),
    )
    header = bytearray(HEADER_SIZE)
    struct.pack_into("<2sHI", header, 0, b"II", 42, _IFD)
    header[_STAMP : _STAMP + 32] = stamp.encode("ascii").ljust(32, b"\0")
    header[_MODEL : _MODEL + 48] = detector.model.encode("ascii").ljust(48, b"\0")
    header[_SOFTWARE : _SOFTWARE + 20] = b"TVX TIFF v 1.3".ljust(19) + b"\0"
    struct.pack_into("<H", header, _IFD, len(entries))
    for number, (tag, kind, count, value) in enumerate(entries):
        layout = "<HHIf" if kind == _FLOAT else "<HHII"
        struct.pack_into(layout, header, _IFD + 2 + 12 * number, tag, kind, count, value)
    struct.pack_into("<4I", header, _RESOLUTION, columns, 7, columns, 7)
    header[_TEXT : _TEXT + len(text)] = text
    return bytes(header)


def tiff_bytes(header: bytes, frame: npt.NDArray[np.int32]) -> bytes:
    """Return a whole file: header and pixels."""
    return header + np.ascontiguousarray(frame, dtype="<i4").tobytes()


_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

LOG_COLUMNS = ("Time", "Epoch", "Seconds", "F.M.", "bg", "pico1", "roi0", "roi1", "roi2", "Monitor", "Detector")


def spec_log(
    name: str,
    started: datetime,
    scans: Iterable[tuple[int, datetime, float, Mapping[str, npt.NDArray[np.float64]], Mapping[int, Sequence[str]]]],
) -> str:
    """Return the text of a SPEC log with the counters of one or several time scans.

    Parameters
    ----------
    name
        Name of the data file, ``#F``.
    started
        When the file was made, ``#D`` and ``#E``; with a time zone.
    scans
        For each scan its number, its start, the counting time in seconds, one array per column of
        :data:`LOG_COLUMNS`, and comment lines by the point that they follow (-1: before the first).
    """
    lines = [f"#F {name}", f"#E {int(started.timestamp())}", f"#D {_spec_date(started)}", "#C BL11XU  User = mbe"]
    for number, start, seconds, columns, comments in scans:
        table = np.column_stack([columns[column] for column in LOG_COLUMNS])
        lines += [
            "",
            f"#S {number}  timescan {seconds:g} 0",
            f"#D {_spec_date(start)}",
            f"#T {seconds:g}  (Seconds)",
            f"#N {len(LOG_COLUMNS)}",
            "#L " + "  ".join(LOG_COLUMNS),
            *comments.get(-1, ()),
        ]
        for point, row in enumerate(table):
            lines.append(" ".join(f"{value:.12g}" for value in row))
            lines += comments.get(point, ())
    return "\n".join(lines) + "\n"


def shutter_comment(when: datetime, *, indium: bool) -> tuple[str, str]:
    """Return the two lines that the growth computer writes when a shutter moves.

    The states are those of Ga, In, Al, Sb and As; arsenic stays open all the time.
    """
    return f"#D {when:%Y/%m/%d %H:%M:%S}", f"#C Shutter(s) opened or closed: 0 {int(indium)} 0 0 1"


def _spec_date(when: datetime) -> str:
    """Like C's asctime, in English whatever the locale."""
    return f"{_DAYS[when.weekday()]} {_MONTHS[when.month - 1]} {when.day:02d} {when:%H:%M:%S} {when.year}"
