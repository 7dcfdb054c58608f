"""The text that camserver writes into a PILATUS header: lines of ``# Key value``.

Line by line, every line tolerated: ``Threshold_setting: 7000 eV`` and ``Threshold_setting 7500 eV``,
``Tau = 199.1e-09 s``, ``Gain_setting: NA``, ``# Pixel size`` with a blank, a thickness without a unit.
"""

from __future__ import annotations

import functools
import math
import re
from dataclasses import dataclass

from xinsitu.clock import parse_stamp
from xinsitu.io.units import quantity

_NUMBER = r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"
_PIXEL_SIZE = re.compile(rf"Pixel[_ ]size:?\s+({_NUMBER}\s*[^\W\d]*)\s*x\s*({_NUMBER}\s*[^\W\d]*)")
_SENSOR = re.compile(rf"(\w+) sensor, thickness\s+({_NUMBER}\s*[^\W\d]*)")
_PAIR = re.compile(r"(\w+)\s*[:=]?\s*(.*)")
_SERIAL = re.compile(r",\s*S/?N\s*([\w.-]+)")


def clean(raw: bytes) -> str:
    r"""Text of an ASCII field: up to the first NUL, stripped; what is not ASCII becomes ``?``.

    Examples
    --------
    >>> clean(b"2014:05:28 17:01:59\x00\x00.3")
    '2014:05:28 17:01:59'
    """
    field = raw.split(b"\0", 1)[0]
    text = field.decode("ascii") if field.isascii() else field.decode("ascii", errors="replace").replace("\ufffd", "?")
    return text.strip()


@dataclass(frozen=True)
class PilatusText:
    """What a PILATUS header says about the exposure and the detector; None where it does not.

    Lengths in metres, times in seconds, energies in eV, wavelength in ångström.
    """

    exposure_time: float | None = None
    exposure_period: float | None = None
    count_cutoff: int | None = None
    pixel_size_y: float | None = None
    pixel_size_x: float | None = None
    threshold_energy: float | None = None
    sensor_material: str | None = None
    sensor_thickness: float | None = None
    tau: float | None = None
    n_excluded_pixels: int | None = None
    wavelength: float | None = None
    flat_field: str | None = None
    trim_file: str | None = None
    gain_setting: str | None = None
    excluded_pixels: str | None = None
    stamp: str | None = None
    """A line that is a time and nothing else, as in CBF headers."""
    remark: str = ""
    """Values whose units are unknown, and that are None for it."""

    def attributes(self) -> dict[str, str | int | float]:
        """Attributes of a measurement: everything known except exposure time and stamp, which belong to frames."""
        return {
            name: value
            for name, value in vars(self).items()
            if value is not None and name not in ("exposure_time", "stamp", "remark")
        }


NO_TEXT = PilatusText()


@functools.lru_cache(maxsize=256)  # all frames of a measurement usually share one text
def parse_pilatus(raw: bytes) -> PilatusText:
    r"""Read the header text up to its first NUL.

    Examples
    --------
    >>> text = parse_pilatus(b"# Exposure_time 1.0 s\r\n# Count_cutoff 1380198 counts\r\n# Tau = 0 s\r\n\x00.3")
    >>> text.exposure_time, text.count_cutoff, text.tau
    (1.0, 1380198, 0.0)
    """
    found: dict[str, str] = {}
    sizes: tuple[float | None, float | None] = (None, None)
    material, thickness, stamp = None, None, None
    for line in clean(raw).splitlines():
        line = line.strip().removeprefix("#").strip()
        if match := _PIXEL_SIZE.fullmatch(line):
            sizes = quantity(match[1], "m", default="m"), quantity(match[3], "m", default="m")
        elif match := _SENSOR.fullmatch(line):
            material, thickness = match[1], quantity(match[2], "m", default="m")
        elif stamp is None and line[:4].isdigit() and parse_stamp(line):
            stamp = line
        elif match := _PAIR.fullmatch(line):
            found.setdefault(match[1], match[2].strip())
    strange: list[str] = []
    below: list[str] = []

    def inside(name: str, to: str) -> float | None:
        value = _in(found.get(name), to)
        if value is None and _number(found.get(name)) is not None:
            strange.append(f"{name} {found[name]}")
        return value

    def above(name: str, value: float | None, *, zero: bool = False) -> float | None:
        if value is None or value > 0 or (zero and value == 0):  # camserver writes 0 s where nobody set a time
            return value
        below.append(f"{name} {found[name]}")
        return None

    cutoff = above("Count_cutoff", _number(found.get("Count_cutoff")))
    times = [above(name, inside(name, "s"), zero=True) for name in ("Exposure_time", "Exposure_period")]
    excluded = _number(found.get("N_excluded_pixels"))
    whys = ((strange, "has an unknown unit"), (below, "is not above zero"))
    return PilatusText(
        exposure_time=times[0],
        exposure_period=times[1],
        count_cutoff=None if cutoff is None else int(cutoff),
        pixel_size_x=sizes[0],  # camserver writes x first
        pixel_size_y=sizes[1],
        threshold_energy=inside("Threshold_setting", "eV"),
        sensor_material=material,
        sensor_thickness=thickness,
        tau=inside("Tau", "s"),
        n_excluded_pixels=None if excluded is None else int(excluded),
        wavelength=_wavelength(found.get("Wavelength")),
        flat_field=_text(found.get("Flat_field")),
        trim_file=_text(found.get("Trim_file") or found.get("Trim_directory")),
        gain_setting=_text(found.get("Gain_setting")),
        excluded_pixels=_text(found.get("Excluded_pixels")),
        stamp=stamp,
        remark="; ".join(f"the header's {', '.join(names)} {why} and is not used" for names, why in whys if names),
    )


def parse_model(model: str) -> tuple[str, str | None]:
    """Detector and serial number of tag 272.

    Examples
    --------
    >>> parse_model("PILATUS 100K-S, S/N 1-0299,")
    ('PILATUS 100K-S', '1-0299')
    >>> parse_model("PILATUS3 X 900K-SMI, SN 12-0101")
    ('PILATUS3 X 900K-SMI', '12-0101')
    >>> parse_model("PILATUS 1M-F")
    ('PILATUS 1M-F', None)
    """
    serial = _SERIAL.search(model)
    return model.split(",")[0].strip(), serial[1] if serial else None


def _number(text: str | None) -> float | None:
    """Return the number that a value begins with; None for ``NA``, ``(nil)`` or nothing."""
    match = re.match(_NUMBER, text or "")
    if match is None:
        return None
    value = float(match[1])
    return value if math.isfinite(value) else None


def _in(text: str | None, to: str) -> float | None:
    """Return a value in the unit that camserver writes, and that holds where the text gives none."""
    value = quantity(text or "", to, default=to)
    return value


def _text(text: str | None) -> str | None:
    return None if text in (None, "", "(nil)", "NA") else text


def _wavelength(text: str | None) -> float | None:
    value = quantity(text or "", "m", default="angstrom")
    return None if value is None or not math.isfinite(value * 1e10) else round(value * 1e10, 12)
