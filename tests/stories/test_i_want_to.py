"""What CONTRIBUTING says one touches for a new thing is all that one touches: done in a copy of the package."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.camserver import camserver_bytes

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "xinsitu"


class Copy:
    """A copy of the package in which files are changed, and code run."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.touched = folder, set[str]()
        shutil.copytree(PACKAGE, folder / "xinsitu", ignore=shutil.ignore_patterns("__pycache__"))

    def write(self, name: str, text: str) -> None:
        self.touched.add(name)
        (self.folder / "xinsitu" / name).write_text(text)

    def replace(self, name: str, old: str, new: str) -> None:
        text = (self.folder / "xinsitu" / name).read_text()
        assert text.count(old) == 1, (name, old)
        self.write(name, text.replace(old, new))

    def run(self, code: str, *arguments: object) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-c", code, *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": str(self.folder)}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.split()


@pytest.fixture
def copy(tmp_path) -> Copy:
    return Copy(tmp_path / "copy")


PGM = '''
"""PGM: numbers of 16 bits behind three lines of text."""
import numpy as np
from .header import FrameHeader

def describe(path, fd, status, head):
    _, size, _, pixels = head.split(b"\\n", 3)
    columns, rows = map(int, size.split())
    return FrameHeader(size=status.st_size, mtime_ns=status.st_mtime_ns, shape=(rows, columns), dtype=np.dtype(">u2"),
                       offset=len(head) - len(pixels))
'''
ROW = """from . import pgm

FORMATS = (
    Format(
        name="PGM",
        endings=(".pgm",),
        is_it=lambda path, head: head.startswith(b"P5"),
        describe=pgm.describe,
        decode=lambda path, page: None,
    ),
"""
OPEN = """
import sys, xarray as xr, xinsitu as xi
scan = xr.open_dataset(sys.argv[1], engine="xinsitu", chunks={}, tz="UTC")
print(xi.__file__.startswith(sys.argv[2]), *scan.sizes.values(), scan.image.values.sum(), *scan.image.values[3, 1, :3])
print(xi.measure(scan, [xi.Roi("a", (0, 4), (0, 5))]).intensity.sizes["time"])
"""


@pytest.mark.thorough
def test_read_another_frame_format(copy, tmp_path):
    folder = tmp_path / "scan"
    folder.mkdir()
    for number in range(4):
        pixels = bytes(byte for value in range(30) for byte in (0, value + number))
        (folder / f"frame_{number:03d}.pgm").write_bytes(b"P5\n6 5\n65535\n" + pixels)
    copy.write("io/formats/pgm.py", PGM)
    copy.replace("io/formats/reading.py", "FORMATS = (\n", ROW)
    total = sum(value + number for number in range(4) for value in range(30))
    assert copy.run(OPEN, folder, copy.folder) == ["True", "4", "5", "6", str(total), "9", "10", "11", "4"]
    assert len(copy.touched) == 2


VIEW = '''
"""The sum of the pixels of the selected ROI, said in a line."""
from bokeh.models import Div
from xinsitu.app.data.cutouts import Section
from .drawing import Drawing

class TotalView(Drawing):
    at, of_frame = "total", True
    work = staticmethod(lambda request: Section.of(request).image.sum())

    def __init__(self, model):
        self._model, self.root = model, Div(name="total")

    def request(self):
        return self._model.cutouts.section_request()

    def take(self, found):
        self.root.text = f"{found:.0f}"
'''
SHOW = """
import time
from concurrent.futures import ThreadPoolExecutor
import numpy as np, xarray as xr
from bokeh.document import Document
import xinsitu as xi
from xinsitu.app.data.source import open_source
from xinsitu.app.data.store import FrameStore
from xinsitu.app.page.page import page
from xinsitu.app.page.session import Session
from xinsitu.app.state.model import ExplorerModel

time_axis = np.datetime64("2015-06-01", "ns") + np.arange(3) * np.timedelta64(1, "s")
counts = np.arange(3)[:, None, None] + np.ones((3, 8, 9), "int32")
image = xr.DataArray(counts, {"time": time_axis, "y": np.arange(8), "x": np.arange(9)}, ("time", "y", "x"))
store = FrameStore(open_source(image.rename("image").to_dataset()))
store.start(); store.wait()
document = Document()
with ThreadPoolExecutor(2) as pool:
    session = Session(ExplorerModel(store, rois=xi.RoiSet([xi.Roi("a", (2, 4), (3, 6))])), document, pool)
    page(session).server_doc(document)
    for frame in (0, 2):
        session.channel.ask = (frame, frame, 0)
        waiting = True
        while waiting or not all(job.idle for job in session.jobs):
            waiting = [one for one in document.session_callbacks if not hasattr(one, "period")]
            for one in waiting:
                document.callbacks.remove_session_callback(one)
                one.callback()
            time.sleep(0.01)
        print(document.get_model_by_name("total").text)
"""


@pytest.mark.thorough
def test_add_a_view_to_the_explorer(copy):
    copy.write("app/views/total.py", VIEW)
    entry = "ChangeList(model, self.channel), "
    with_it = entry.replace("ChangeList", "TotalView(model), ChangeList")
    copy.replace("app/page/session.py", entry, with_it)
    use = "from .hands import in_reach, wire\n"
    copy.replace("app/page/session.py", use, f"from xinsitu.app.views.total import TotalView\n{use}")
    place = '<div class="profiles">'
    copy.replace("app/page/page.html", place, f"{{{{ embed(roots.at_total) }}}}{place}")
    assert copy.run(SHOW) == ["6", "18"]
    assert copy.touched == {"app/views/total.py", "app/page/session.py", "app/page/page.html"}


KEYWORD = """
    remark: str | None = field(
        default=None,
        metadata=_told(
            "What somebody said of the frames.", "a text or None", _is(str, type(None)), "--remark",
            metavar="TEXT", help="what somebody said of the frames",
        ),
    )

    def __post_init__(self) -> None:
        for item in fields(self):
"""
KEEP = """
import sys, xarray as xr, xinsitu as xi
from xinsitu.cli import main
folder, made = sys.argv[1:3]
print(xi.open_measurement(folder, tz="UTC", remark="mine").remark)
print(xr.open_dataset(folder, engine="xinsitu", tz="UTC", remark="its").remark)
print("remark" in str(xi.open_measurement.__doc__))
try:
    xi.open_measurement(folder, tz="UTC", remark=3)
except xi.LayoutError as fault:
    print(str(fault).replace(" ", "_"))
print(main(["parse", folder, "--tz", "UTC", "--remark", "theirs", "-o", made]))
print(xi.open_measurement(made).remark)
"""


@pytest.mark.thorough
def test_add_an_opening_keyword_with_its_option(copy, tmp_path):
    folder = tmp_path / "scan"
    folder.mkdir()
    for number in range(3):
        frame = camserver_bytes(np.full((5, 6), number, "int32"), f"2014:05:28 17:10:0{number}")
        (folder / f"m_{number:05d}.tif").write_bytes(frame)
    copy.replace("io/options.py", KEYWORD[KEYWORD.index("    def __post") :], KEYWORD[1:])
    types = "    logs: str | os.PathLike[str] | None\n\n\n@dataclass"
    copy.replace("io/options.py", types, types.replace("\n\n\n", "\n    remark: str | None\n\n\n"))
    use = "    dataset = assemble(source.path, gathered, clock, chosen)\n"
    copy.replace("io/opening.py", use, use[:-1] + '.assign_attrs(remark=opening.remark or "")\n')
    said = copy.run(KEEP, folder, tmp_path / "made.nc")
    assert [word for word in said if word in ("mine", "its", "True", "0", "theirs")] == [
        "mine",
        "its",
        "True",
        "0",
        "theirs",
    ]
    assert "remark_is_a_text_or_None,_not_3" in said
    assert copy.touched == {"io/options.py", "io/opening.py"}


CREST = '''def crest(top: Doubles, mean: Doubles) -> Doubles:
    """How many times higher than the mean the highest pixel is."""
    return np.divide(top, mean, out=np.full(len(top), np.nan), where=mean > 0)


def sum_in_lanes('''
CRESTS = """
import numpy as np, xarray as xr, xinsitu as xi
time = np.datetime64("2015-06-01", "ns") + np.arange(3) * np.timedelta64(1, "s")
counts = np.ones((3, 8, 9), "int32")
counts[:, 3, 4] = [4, 7, 10]
image = xr.DataArray(counts, {"time": time, "y": np.arange(8), "x": np.arange(9)}, ("time", "y", "x"), "image")
series = xi.measure(image, [xi.Roi("a", (2, 4), (3, 6))])
print(*series.crest.sel(roi="a").values.round(3), series.crest.attrs["long_name"].replace(" ", "_"))
"""


@pytest.mark.thorough
def test_add_a_quantity_seen_everywhere(copy):
    copy.replace("kernels/sums.py", "def sum_in_lanes(", CREST)
    quantities = "physics/reduction/quantities.py"
    copy.replace(
        quantities,
        '    yield "maximum", top\n',
        '    yield "maximum", top\n    yield "crest", crest(top, net.own.total / np.maximum(net.own.pixels, 1))\n',
    )
    copy.replace(
        quantities,
        "from xinsitu.kernels import ",
        "from xinsitu.kernels.sums import crest\nfrom xinsitu.kernels import ",
    )
    copy.replace(
        "physics/reduction/packed_numbers.py",
        '"maximum_y", "maximum_x", *BOTH[1], *',
        '"maximum_y", "maximum_x", "crest", *BOTH[1], *',
    )
    row = '    "maximum_y": Quantity('
    copy.replace("schema.py", row, f'    "crest": Quantity("1", "highest pixel over the mean"),\n{row}')
    assert copy.run(CRESTS) == ["2.667", "3.5", "4.0", "highest_pixel_over_the_mean"]
    assert len(copy.touched) == 4
