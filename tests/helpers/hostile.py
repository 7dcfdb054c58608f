"""Every parser of bytes that others wrote, with sound files to begin from and what must hold whatever the bytes are.

``tests/io/formats/test_hostile.py`` feeds them mutants from fixed seeds in every run; ``tests/fuzz/fuzz.py`` feeds them
what atheris finds.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import struct
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xinsitu.clock import parse_stamp
from xinsitu.errors import XinsituError
from xinsitu.io.documents import read_attenuation_changes, read_events, read_rois
from xinsitu.io.exchange.old_pickles import read_old_pickle
from xinsitu.io.formats.header import MAX_PIXELS
from xinsitu.io.formats.pilatus import parse_pilatus
from xinsitu.io.formats.reading import decode, read_header
from xinsitu.io.growth_log import read_events_log
from xinsitu.io.instruments import load_instrument
from xinsitu.io.log_files import read_log
from xinsitu.io.log_join import FrameKeys, join_logs
from xinsitu.io.measurement import open_measurement
from xinsitu.io.pixel_maps import read_mask
from xinsitu.recipe.recipe_file import read_recipe

from .camserver import camserver_bytes, ramp, stamp_of

SMALL = (5, 7)


@dataclass(frozen=True)
class Target:
    """A parser: the name that its files have, sound ones, words that matter to it, and what reads and checks one."""

    name: str
    seeds: Callable[[], list[bytes]]
    read: Callable[[str], None]
    words: tuple[bytes, ...] = ()


def epics_bytes(pixels: np.ndarray) -> bytes:
    """A frame as EPICS areaDetector writes it: time stamps and attributes in private tags."""
    rows, columns = pixels.shape
    private = [(65000, 12, 1, 300), (65002, 4, 1, 802117916), (65003, 4, 1, 5), (65010, 2, 16, 310), (65011, 2, 8, 330)]
    tags = [(256, 4, 1, columns), (257, 4, 1, rows), (258, 3, 1, 32), (259, 3, 1, 1), (270, 2, 21, 260)]
    tags += [(273, 4, 1, 350), (279, 4, 1, pixels.nbytes), (306, 2, 20, 230), (339, 3, 1, 2), *private]
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    head = bytearray((b"II*\0" + struct.pack("<I", 8) + directory).ljust(350, b"\0"))
    head[230:249], head[260:280] = b"2014:05:28 17:01:59", b"# Exposure_time 1.0 s"[:20]
    head[300:308], head[310:326], head[330:337] = struct.pack("<d", 8e8), b"Temperature:21.5", b"Gain:NA"
    return bytes(head) + pixels.astype("<i4").tobytes()


def tiff_seeds() -> list[bytes]:
    return [epics_bytes(ramp(2, SMALL)), camserver_bytes(ramp(2, SMALL), stamp_of(2))]


def check_frame(path: str) -> None:
    header = read_header(path)
    rows, columns = header.shape
    assert 0 < rows * columns <= MAX_PIXELS
    if header.offset >= 0:
        for offset in header.page_offsets or (header.offset,):
            assert 0 <= offset <= header.size - rows * columns * header.dtype.itemsize
    elif rows * columns < 10_000:
        pixels = decode(path, 0)
        assert (pixels.shape, pixels.dtype) == (header.shape, header.dtype.newbyteorder("="))


def cbf_seeds() -> list[bytes]:
    pixels = bytes(range(12)) + b"\x80\x00\x01" + b"\x80\x00\x80\x00\x00\x01\x00"
    text = (
        "###CBF: VERSION 1.5\r\n_array_data.header_contents\r\n;\r\n# Detector: PILATUS 100K, S/N 1-0230\r\n"
        "# 2011-07-22T17:33:22.529\r\n# Exposure_time 1.0 s\r\n;\r\n_array_data.data\r\n;\r\n"
        '--CIF-BINARY-FORMAT-SECTION--\r\n     conversions="x-CBF_BYTE_OFFSET"\r\n'
        f'X-Binary-Size: {len(pixels)}\r\nX-Binary-Element-Type: "signed 32-bit integer"\r\n'
        "X-Binary-Size-Fastest-Dimension: 7\r\nX-Binary-Size-Second-Dimension: 2\r\n\r\n"
    )
    return [text.encode() + b"\x0c\x1a\x04\xd5" + pixels]


def edf_seeds() -> list[bytes]:
    def frame(more: str = "") -> bytes:
        keys = f"HeaderID = EH:000001 ;\nDim_1 = 4 ;\nDim_2 = 3 ;\nDataType = Float ;\nSize = 48 ;\n{more}"
        return ("{\n" + keys).encode().ljust(254) + b"}\n" + bytes(48)

    return [frame("time_of_day = 1401264119.5 ;\n"), frame("Date = Wed Jun 16 19:14:09 2010 ;\n") + frame()]


EDF_AND_CBF = {"cbf": cbf_seeds, "edf": edf_seeds}


def camserver_text() -> list[bytes]:
    return [camserver_bytes(ramp(0, SMALL))[580:1000], b"2022-11-01T16:43:30.015-07:00"]


def check_text(path: str) -> None:
    raw = Path(path).read_bytes()
    for name, value in parse_pilatus(raw).attributes().items():
        assert isinstance(value, str | int | float), name
        assert not isinstance(value, float) or np.isfinite(value), name
    stamp = parse_stamp(raw.decode("latin-1"))
    assert stamp is None or abs(stamp.microseconds) < 2**62


SPEC = b"""#F 0884_time_1
#E 1401264119
#D Wed May 28 17:01:59 2014
#S 1  timescan 0.95 0
#D Wed May 28 17:01:59 2014
#N 3
#L Time  Epoch  Monitor
0 0 10
1 1 11
@A 1 2\\
3 4
2 2 12
#S 2  timescan 0.95 0
#L file  ion chamber  Detector
a_0.tif 5 6
"""
GDA = b"&SRS\n SRSRUN=7,SRSDAT=2014528\nattenuation=100\n&END\nfile\td5i\tfile\nm_000.tif\t1.5\tx\nm_001.tif\t2.5\ty\n"
CSV = b"time,current,name\n2014-05-28T17:00:00+09:00,300.5,a\n2014-05-28 17:00:01,,b\nnan,1e308,c\n"


def check_log(path: str) -> None:
    tables = read_log(path)
    for table in tables:
        for column in table.columns.values():
            assert len(column) == len(table)
            assert not np.isinf(column).any()
        for cells in table.texts.values():
            assert len(cells) == len(table)
    frame = np.arange(3)
    for instrument in ("generic", "spring8-bl11xu"):
        keys = FrameKeys(
            [f"m_{n:03d}.tif" for n in frame], np.ones(3, "int64"), frame, 1_401_264_119_000_000 + 10**6 * frame, "UTC"
        )
        columns, said = join_logs([path], keys, load_instrument(instrument))
        assert said
        assert all(column.shape == (3,) for column in columns.values())


def mask_seeds(ending: str) -> list[bytes]:
    if ending == "msk":
        head = b"M\0\0\0A\0\0\0S\0\0\0K\0\0\0" + struct.pack("<II", 7, 5)
        return [head.ljust(1024, b"\0") + bytes(range(20))]
    file = io.BytesIO()
    np.save(file, np.eye(5, 7, dtype="u1"))
    return [file.getvalue()]


def check_mask(path: str) -> None:
    mask = read_mask(path)
    assert mask.dtype == bool
    assert mask.dims == ("y", "x")


def as_json(form: str, **content: object) -> bytes:
    return json.dumps({"format": f"xinsitu-{form}", "version": 1, **content}).encode()


ROI = {"name": "WZ", "y": [60, 150], "x": [210, 270], "role": "signal", "background": ["left"], "measure": ["com"]}
LEFT = {"name": "left", "y": [60, 150], "x": [10, 20], "role": "background"}
KEYFRAMES = [{"frame": 1, "y": [60, 150], "x": [210, 270]}, {"frame": 7, "y": [61, 151], "x": [210, 270]}]
ROIS = as_json("rois", detector_shape=[195, 487], rois=[ROI, {**ROI, "name": "ZB", "path": KEYFRAMES}, LEFT])
BEFORE, AFTER = {"measurement": "time3", "scan": 1, "frame": 185}, {"measurement": "time3", "seconds": 60}
CHANGES = as_json("attenuation", changes=[{"before": BEFORE, "after": AFTER, "factor": 8.5, "cause": "attenuator"}])
EVENT = {"name": "In shutter open", "start": "2014-05-28T17:00:00+09:00", "stop": AFTER}


EVENTS = b"#D 2014/05/28 17:01:59\n#C Shutter(s) opened or closed: 0 1 0 0 1\n#D 2014/05/28 17:03:00\n"
EVENTS += b"#C Wed May 28 17:04:36 2014.  Shutter(s) opened or closed: open closed 0, 0 1\n"


def toml_seeds() -> list[bytes]:
    folder = Path(load_instrument.__code__.co_filename).parents[1] / "instruments"
    return [path.read_bytes() for path in sorted(folder.glob("*.toml"))]


RECIPE = b"""format = "xinsitu-recipe"
version = 1
sample = "0884"
include = "time*"
rois = "rois.json"
find = true
[reading]
tz = "Asia/Tokyo"
[correction]
median = 3
background = { y = [70, 90], x = [150, 170], mode = "divide" }
[attenuation]
roi = "WZ"
[output]
result = "0884.nc"
figures = ["0884.png"]
[plot]
t0 = "In shutter open"
"""


def check_recipe(path: str) -> None:
    """Read a recipe beside a sample and its ROIs."""
    folder = Path(path).parent
    frame = folder / "0884" / "time1" / "m_0.tif"
    if not frame.exists():
        frame.parent.mkdir(parents=True)
        frame.write_bytes(camserver_bytes(ramp(0, SMALL)))
        (folder / "rois.json").write_bytes(ROIS)
    read_recipe(path)


def check_measurement(path: str) -> None:
    """Open a folder of which one frame is hostile: out comes a Dataset of the good ones, or one kind of error."""
    folder = Path(path).parent
    for number in (0, 1, 3):
        other = folder / f"m_{number:03d}.tif"
        if not other.exists():
            other.write_bytes(camserver_bytes(ramp(number, SMALL), stamp_of(number)))
    found = open_measurement(folder, tz="Asia/Tokyo", on_error="nan", order_error="ignore")
    image = found.image.values
    assert image.shape == (4, *SMALL)
    for number in (0, 1, 3):
        np.testing.assert_array_equal(image[number], ramp(number, SMALL))


def pickle_seeds() -> list[bytes]:
    thing = {
        "WZ": {"pos": (12.5, 3.0), "size": [60, 90]},
        "a": np.arange(6.0).reshape(2, 3),
        "t": np.array(["p", None]),
    }
    return [pickle.dumps(thing, protocol) for protocol in (0, 2, 4)]


JSON_WORDS = (b"null", b"-1", b"1e999", b"[[", b"{}", b"9" * 400, b"true", b'"", ')
TARGETS = {
    "tiff": Target("a_1.tif", tiff_seeds, check_frame, (b"II*\0", b"MM\0*", b"\x01\x01", b"\xff\xff\xff\xff")),
    "cbf": Target("a_1.cbf", cbf_seeds, check_frame, (b"X-Binary-Size", b"\x0c\x1a\x04\xd5", b"\x80\x00\x80")),
    "edf": Target(
        "a_1.edf", edf_seeds, check_frame, (b"EDF_BinaryFileName = /etc/passwd ;", b"Dim_3 = 2 ;", b"{", b"}")
    ),
    "camserver": Target(
        "header.txt",
        camserver_text,
        check_text,
        (b"# ", b" 1e999 ", b"e999", b"Wavelength 1e308 nm\r\n", b"0000:00:00 00:00:00", b"NA", b"(nil)"),
    ),
    "log": Target(
        "m.log", lambda: [SPEC, GDA, CSV], check_log, (b"#S 1", b"#L a  b", b"&END", b"nan", b"inf", b"1e999", b"@A ")
    ),
    "fit2d": Target("bad.msk", lambda: mask_seeds("msk"), check_mask),
    "npy": Target("bad.npy", lambda: mask_seeds("npy"), check_mask, (b"|O", b"<i8", b"(999999999, 999999999)")),
    "rois": Target("rois.json", lambda: [ROIS], lambda path: void(read_rois(path)), JSON_WORDS),
    "changes": Target("changes.json", lambda: [CHANGES], lambda path: void(read_attenuation_changes(path)), JSON_WORDS),
    "events": Target(
        "events.json", lambda: [as_json("events", events=[EVENT])], lambda path: void(read_events(path)), JSON_WORDS
    ),
    "shutters": Target(
        "mbe.log", lambda: [EVENTS], lambda path: void(read_events_log(path, tz="Asia/Tokyo")), (b"#D ", b"#C ", b" 1")
    ),
    "instrument": Target(
        "own.toml", toml_seeds, lambda path: void(load_instrument(path)), (b"= 1", b"= []", b"= {}", b"(?P<frame>")
    ),
    "recipe": Target(
        "recipe.toml", lambda: [RECIPE], check_recipe, (b"= 1", b"= []", b"= {}", b'= ""', b'mask = "rois.json"')
    ),
    "pickle": Target(
        "old.p",
        pickle_seeds,
        lambda path: void(read_old_pickle(path)),
        (b"cos\nsystem\n", b"h\x01", b"\x85", b"R", b"b"),
    ),
    "measurement": Target(
        "m_002.tif",
        tiff_seeds,
        check_measurement,
        (b"9999:12:31 23:59:59", b"0001:01:01 00:00:00", b"1e300", b"\xff\xff", b"image:1e999", b"time:x"),
    ),
}


def void(_: object) -> None:
    """What was read is thrown away."""


def attempt(target: Target, path: str, data: bytes) -> None:
    """Read one file; errors must be of our one kind and name the file (or, of a measurement, its folder)."""
    if os.path.exists(path):
        os.unlink(path)  # some file systems write a file that was emptied at once to the disc
    with open(path, "xb") as file:
        file.write(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", UserWarning)  # ours, and NumPy's of old headers
            target.read(path)
    except (XinsituError, OSError) as error:
        names = isinstance(error, OSError) and error.filename  # a recipe may name a file that is not there
        if not names and os.path.dirname(path) not in str(error) and target.name != "m.log":
            raise AssertionError(f"the error names no file: {error}") from error


def mutants(target: Target, count: int, seed: int = 0) -> Iterator[bytes]:
    """Change sound files in one to four places, as a bad disc, a bad copy or a bad person would."""
    rng = random.Random(seed)
    seeds = target.seeds()
    yield from seeds
    for _ in range(count):
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.randint(1, 4)):
            place = rng.randrange(len(data) + 1)
            stop = min(len(data), place + rng.choice((1, 2, 4, 8, 60)))
            data[place : rng.choice((place, stop))] = rng.choice(
                (
                    rng.randbytes(rng.choice((1, 2, 4))),
                    rng.choice(target.words or (b"\0",)),
                    rng.choice((b"", b"\0" * 4, b"\xff" * 4, b"\x7f\xff", b"-", b"9", b"\n", "é€".encode())),
                    bytes(data[place:stop]) * rng.choice((1, 2, 30)),
                )
            )
        if rng.random() < 0.1:
            del data[rng.randrange(len(data) + 1) :]
        yield bytes(data)
