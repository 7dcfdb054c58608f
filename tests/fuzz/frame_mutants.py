"""Whole frames of every layout, and structured mutants of them: tags of another type, count or value, cut, spliced.

What a mutant may become: an error or a flag of its own file, or pixels of the series' shape and kind that are those
written, or those that tifffile, another reader, finds in the same bytes.
"""

from __future__ import annotations

import io
import random
import re
import struct
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import fabio
import numpy as np
import tifffile
from tests.helpers.camserver import camserver_bytes, stamp_of
from tests.helpers.hostile import epics_bytes

from xinsitu.errors import XinsituError
from xinsitu.io.formats.reading import read_frame, read_header
from xinsitu.io.measurement import open_measurement

SHAPE = (24, 32)
LAYOUTS = {
    "strip": {},
    "big-endian": {"byteorder": ">"},
    "strips": {"rowsperstrip": 5},
    "tiles": {"tile": (16, 16)},
    "zlib": {"compression": "zlib"},
    "zlib-predictor": {"compression": "zlib", "rowsperstrip": 7, "predictor": True},
    "lzw": {"compression": "lzw"},
    "zstd-tiles": {"compression": "zstd", "tile": (16, 32)},
    "bigtiff": {"bigtiff": True},
    "packbits": {"compression": "packbits"},
}
VALUES = (0, 1, 2, 3, 4, 5, 7, 8, 16, 24, 32, 33, 64, 255, 256, 32773, 65535, 1 << 20, 0x7FFFFFFF, 0xFFFFFFFF)
TAGS = (256, 257, 258, 259, 262, 266, 270, 273, 277, 278, 279, 284, 317, 322, 323, 324, 325, 330, 339, 32996, 65000)


@dataclass(frozen=True)
class Seed:
    """A sound file: its layout's name, its ending, its bytes and its pixels."""

    layout: str
    ending: str
    data: bytes
    pixels: np.ndarray


def written(write, ending: str) -> bytes:
    """Give what a function writes to a path."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a{ending}"
        write(path)
        return path.read_bytes()


def seeds() -> list[Seed]:
    """Build a frame of every layout, written by others than the code under test."""
    rng = np.random.default_rng(5)
    counts = rng.poisson(40, SHAPE).astype("i4")
    found = [
        Seed("camserver", ".tif", camserver_bytes(counts, stamp_of(2)), counts),
        Seed("epics", ".tif", epics_bytes(counts), counts),
    ]
    for layout, options in LAYOUTS.items():
        for kind in ("i4", "u2", "f4"):
            pixels, file = counts.astype(kind), io.BytesIO()
            tifffile.imwrite(file, pixels, metadata=None, datetime=stamp_of(2), **options)
            found.append(Seed(f"{layout} {kind}", ".tif", file.getvalue(), pixels))
    for ending, form in ((".cbf", fabio.cbfimage.CbfImage), (".edf", fabio.edfimage.EdfImage)):
        found.append(Seed(ending[1:], ending, written(lambda path, f=form: f(data=counts).write(path), ending), counts))
    return found


def mutant(seed: Seed, rng: random.Random) -> bytes:
    """Change one to three things of a sound file."""
    data = bytearray(seed.data)
    for _ in range(rng.choice((1, 1, 2, 3))):
        tag_by_tag = seed.ending == ".tif" and rng.random() < 0.7
        (_change_directory if tag_by_tag else _change_bytes)(data, rng)
    return bytes(data)


def _change_bytes(data: bytearray, rng: random.Random) -> None:
    kind, place = rng.randrange(7), rng.randrange(len(data) + 1)
    head = rng.randrange(min(len(data), 700) + 1)
    if kind == 0:
        del data[place:]
    elif kind == 1:
        data[place : place + rng.choice((1, 4, 512))] = b""
    elif kind == 2:
        stop = min(len(data), place + rng.choice((1, 64, 1024)))
        data[place:stop] = bytes(stop - place)
    elif kind == 3:
        data[place:place] = rng.randbytes(rng.choice((1, 4, 100)))
    elif kind == 4:
        data += rng.randbytes(rng.choice((1, 100, 5000)))
    else:
        data[head : head + rng.choice((1, 2, 4))] = rng.randbytes(rng.choice((1, 2, 4)))


def _change_directory(data: bytearray, rng: random.Random) -> None:
    """Change one entry of the first directory, or what leads to it."""
    if len(data) < 16 or data[:2] not in (b"II", b"MM"):
        return _change_bytes(data, rng)
    order = "<" if data[:2] == b"II" else ">"
    big = struct.unpack_from(f"{order}H", data, 2)[0] == 43
    entry = struct.Struct(f"{order}HHQQ" if big else f"{order}HHII")
    (first,) = struct.unpack_from(f"{order}{'Q' if big else 'I'}", data, 8 if big else 4)
    width = 8 if big else 2
    if first + width > len(data):
        return _change_bytes(data, rng)
    (count,) = struct.unpack_from(f"{order}{'Q' if big else 'H'}", data, first)
    places = [
        first + width + entry.size * n
        for n in range(min(count, 60))
        if first + width + entry.size * (n + 1) <= len(data)
    ]
    if not places:
        return _change_bytes(data, rng)
    place, other = rng.choice(places), rng.choice(places)
    tag, kind, number, value = entry.unpack_from(data, place)
    limit = (1 << 64 if big else 1 << 32) - 1
    what = rng.randrange(9)
    if what == 0:
        kind = rng.randrange(20)
    elif what == 1:
        number = rng.choice(VALUES)
    elif what == 2:
        value = rng.choice(VALUES)
    elif what == 3:
        value = max(0, min(limit, value + rng.choice((-4096, -4, -1, 1, 4, 4096))))
    elif what == 4:
        tag = rng.choice(TAGS)
    elif what == 5:
        value = entry.unpack_from(data, other)[3]
    elif what == 6:
        data[place : place + entry.size], data[other : other + entry.size] = (
            data[other : other + entry.size],
            data[place : place + entry.size],
        )
        return None
    elif what == 7:
        struct.pack_into(
            f"{order}{'Q' if big else 'H'}", data, first, rng.choice((0, 1, count - 1, count + 1, 40)) % 65536
        )
        return None
    else:
        struct.pack_into(f"{order}{'Q' if big else 'I'}", data, 8 if big else 4, rng.randrange(len(data) + 20))
        return None
    return entry.pack_into(data, place, tag, kind, number, value)


def judged(seed: Seed, data: bytes, path: Path) -> str:
    """What becomes of a mutant: refused, as written, as others read it (they cannot tell either), otherwise, or alone.

    Raises
    ------
    AssertionError
        An error of another kind, one that names no file, or pixels of other shape or kind than the header says.
    """
    path.write_bytes(data)
    try:
        header = read_header(str(path))
        pixels = read_frame(str(path), header)
    except XinsituError as error:
        if str(path) not in str(error):
            raise AssertionError(f"names no file: {error}") from error
        return "refused"
    assert pixels.shape == header.shape
    assert pixels.dtype == header.dtype.newbyteorder("=")
    if (pixels.shape, pixels.dtype) != (seed.pixels.shape, seed.pixels.dtype):
        return "other shape or kind, left out of its series"
    if np.array_equal(pixels, seed.pixels, equal_nan=pixels.dtype.kind == "f"):
        return "as written"
    theirs = other_reader(path)
    if theirs is not None and theirs.dtype == pixels.dtype and theirs.tobytes() == pixels.tobytes():
        return "as others read it"
    if (pixels == seed.pixels).mean() > 0.5:
        return "as written but for bytes that were changed"
    return "alone" if theirs is None else "otherwise than others"


def other_reader(path: Path) -> np.ndarray | None:
    """Pixels of a file as tifffile or fabio gives them; None where they raise.

    Not of CBF files, where fabio does not always come to an end.
    """
    for read in {".tif": (_tifffile, _with_shorts), ".edf": (_fabio,)}.get(path.suffix, ()):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = np.asarray(read(path))
        except Exception:  # noqa: BLE001 (whatever it raises)
            continue
        return found.astype(found.dtype.newbyteorder("="))
    return None


def _tifffile(path: Path) -> np.ndarray:
    with tifffile.TiffFile(path) as tiff:
        return tiff.pages[0].asarray(maxworkers=1)


def _with_shorts(path: Path) -> np.ndarray:
    """Ask tifffile, which raises where a number is a BYTE, with a SHORT in its place; TIFF 6.0 allows both."""
    data = bytearray(path.read_bytes())
    order = "<" if data[:2] == b"II" else ">"
    (first,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, first)
    for place in range(first + 2, first + 2 + 12 * count, 12):
        _, kind, number = struct.unpack_from(f"{order}HHI", data, place)
        if (kind, number) == (1, 1):
            struct.pack_into(f"{order}HIH", data, place + 2, 3, 1, data[place + 8])
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        return tiff.pages[0].asarray(maxworkers=1)


def _fabio(path: Path) -> np.ndarray:
    return fabio.open(str(path)).data


def in_a_series(seed: Seed, data: bytes, folder: Path) -> str:
    """Open the mutant among two sound frames: the others are as written, and it is flagged or has their shape."""
    for number in range(3):
        path = folder / f"m_{number}{seed.ending}"
        path.write_bytes(data if number == 1 else seed.data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            scan = open_measurement(folder, tz="UTC", time="frame", on_error="nan")
            image = scan.image.values
        except XinsituError as error:
            if str(folder) not in str(error):
                raise AssertionError(f"names no file: {error}") from error
            return "refused"
    assert image.shape == (3, *SHAPE), image.shape
    for number in (0, 2):
        np.testing.assert_array_equal(image[number], seed.pixels)
    flagged = bool(scan.frame_status[1] != 0)
    kept = flagged or not np.isnan(image[1].astype("f8")).all()
    return "flagged" if flagged else "opened" if kept else "NaN when it was read"


@dataclass(frozen=True)
class Odd:
    """A mutant that is not refused, and not read as tifffile or fabio does."""

    fate: str
    layout: str
    data: bytes


def wrongly(odd: Odd) -> bool:
    """Whether it must not be: all but pixels of CBF files without a checksum, where no second reader is asked."""
    checksum = re.search(rb"^Content-MD5: [A-Za-z0-9+/]{22}==\r", odd.data, re.MULTILINE)
    return not (odd.fate == "alone" and odd.layout == "cbf" and checksum is None)


def run(count: int, folder: Path, seed: int = 0, opened: int = 20) -> tuple[Counter[str], list[Odd]]:
    """Judge so many mutants, every ``opened``-th one also in a series; what is odd comes with its bytes."""
    rng, found, odd = random.Random(seed), Counter[str](), []
    sound = seeds()
    (folder / "series").mkdir(exist_ok=True)
    for number in range(count):
        one = rng.choice(sound)
        data = mutant(one, rng)
        try:
            fate = judged(one, data, folder / f"a_1{one.ending}")
            if number % opened == 0:
                for path in (folder / "series").iterdir():
                    path.unlink()
                found[f"in a series: {in_a_series(one, data, folder / 'series')}"] += 1
        except Exception as error:  # noqa: BLE001 (it is what is looked for)
            fate = f"wrong: {type(error).__name__}: {str(error)[:200]}"
        found["wrong" if fate.startswith("wrong") else fate] += 1
        if fate.startswith("wrong") or fate in ("alone", "otherwise than others"):
            odd.append(Odd(fate, one.layout, data))
    return found, odd
