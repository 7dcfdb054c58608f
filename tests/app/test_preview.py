"""The first frame before anything else: the picture, who gets it, and that the explorer takes its place over."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import zlib

import h5py
import numpy as np
import pytest
import tifffile
from bokeh.palettes import Viridis256

import xinsitu as xi
from xinsitu.app.network import own_address
from xinsitu.app.preview import Preview, first_frame, picture
from xinsitu.app.serve import explore
from xinsitu.recipe import Reading

HEAVY = ("xarray", "pandas", "dask", "scipy", "bokeh", "panel", "h5py")


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return xi.simulate_sample(tmp_path_factory.mktemp("early"), measurements=2, frames=20)


def pixels(png: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Return numbers and colours of a PNG with a palette, by the specification (ISO/IEC 15948)."""
    at, chunks = 8, {}
    while at < len(png):
        length = int.from_bytes(png[at : at + 4], "big")
        kind, data = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        assert int.from_bytes(png[at + 8 + length : at + 12 + length], "big") == zlib.crc32(kind + data)
        chunks[kind] = data
        at += 12 + length
    width, height = (int.from_bytes(chunks[b"IHDR"][first : first + 4], "big") for first in (0, 4))
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), "uint8").reshape(height, width + 1)
    assert not rows[:, 0].any()
    return rows[:, 1:], np.frombuffer(chunks[b"PLTE"], "uint8").reshape(256, 3)


def test_picture_is_the_frame_on_a_logarithmic_scale_in_viridis():
    frame = np.array([[0, 1, 10], [100, 1000, -2]], dtype="int32")
    numbers, palette = pixels(picture(frame))
    expected = 255 * np.log(np.array([[0.5, 1, 10], [100, 1000, 0.5]]) / 0.5) / np.log(2000)
    np.testing.assert_array_equal(numbers, expected.astype("uint8"))
    known = np.array([[int(color[at : at + 2], 16) for at in (1, 3, 5)] for color in Viridis256])
    assert np.abs(palette.astype(int) - known).max() <= 12


@pytest.mark.parametrize("frame", [np.zeros((3, 4), "uint16"), np.full((3, 4), np.nan, "float32")])
def test_a_frame_with_nothing_on_it(frame):
    numbers, _ = pixels(picture(frame))
    assert numbers.shape == (3, 4)
    assert not numbers.any()


def test_a_large_frame_is_thinned():
    numbers, _ = pixels(picture(np.arange(3000 * 2000).reshape(3000, 2000)))
    assert numbers.size <= 600_000


@pytest.mark.thorough
def test_first_frame_of_a_measurement_and_of_a_sample(truth, tmp_path):
    first = xi.open_measurement(truth.folders["time1"], tz="Asia/Tokyo").image[0].values
    for folder in (truth.folders["time1"], truth.folders["sample"]):
        name, frame = first_frame(folder)
        np.testing.assert_array_equal(frame, first)
        assert name.endswith(".tif")
    for number in (10, 9, 100):  # by number, not by letter
        tifffile.imwrite(tmp_path / f"run_{number}.tif", np.full((4, 5), number, "uint16"))
    assert first_frame(tmp_path)[1][0, 0] == 9


def test_first_frame_of_hdf5(tmp_path):
    frames = np.arange(2 * 4 * 5, dtype="uint16").reshape(2, 4, 5) + 1
    (tmp_path / "0884" / "time1").mkdir(parents=True)
    with h5py.File(tmp_path / "0884" / "time1" / "run.nxs", "w") as file:
        file["entry/data/data"] = frames
    for path in (tmp_path / "0884" / "time1" / "run.nxs", tmp_path / "0884" / "time1", tmp_path / "0884"):
        name, frame = first_frame(path)
        assert name == "run.nxs"
        np.testing.assert_array_equal(frame, frames[0])
    (tmp_path / "0884" / "time1" / "run.nxs").write_bytes(b"half a file")
    assert Preview.of(tmp_path / "0884") is None


def test_nothing_to_show_is_no_fault(tmp_path):
    assert Preview.of(tmp_path) is None
    assert Preview.of(tmp_path / "nothing") is None
    (tmp_path / "run_1.tif").write_bytes(b"half a frame")
    assert Preview.of(tmp_path) is None


@pytest.mark.thorough
def test_only_who_has_the_token_gets_it(truth):
    assert Preview.of(truth.folders["time1"], port=99999) is None
    early = Preview.of(truth.folders["time1"])
    try:
        assert Preview.of(truth.folders["time1"], port=early.port) is None  # taken
        page = urllib.request.urlopen(early.url, timeout=60)
        assert page.headers["X-Content-Type-Options"] == "nosniff"
        text = page.read().decode()
        assert "data:image/png;base64," in text
        assert (
            '<link rel="icon" href="data:image/svg+xml;base64,PHN2Zy' in text
        )  # without one browsers ask, and get 403
        known = early.url[early.url.index("/?") :]
        asked = {("/", "127.0.0.1"): 403, ("/?token=guess", "127.0.0.1"): 403, (known, "evil"): 403,
                 ("/static/js/bokeh.min.js", "127.0.0.1"): 404, ("/other", "127.0.0.1"): 403}  # fmt: skip
        for (path, host), status in asked.items():
            line = http.client.HTTPConnection("127.0.0.1", early.port, timeout=60)
            line.request("GET", path, headers={"Host": f"{host}:{early.port}"})
            assert line.getresponse().status == status, path
            line.close()
    finally:
        early.close()
    with pytest.raises(OSError, match=r"refused|reset"):
        urllib.request.urlopen(early.url, timeout=5)


def test_who_asks_too_early_waits_until_the_explorer_takes_over(truth):
    """Each question costs browser and server; asked ten times a second they had a second of both."""
    early = Preview.of(truth.folders["time1"])
    line = http.client.HTTPConnection("127.0.0.1", early.port, timeout=60)
    begun = time.monotonic()
    line.request("HEAD", "/static/js/bokeh.min.js")
    threading.Timer(0.3, early.close).start()
    assert line.getresponse().status == 404
    assert time.monotonic() - begun >= 0.3
    line.close()


def test_other_machines_see_it_where_they_are_let_in(truth):
    early = Preview.of(truth.folders["time1"], public=True)
    try:
        known = early.url[early.url.index("/?") :]
        assert early.url.startswith(f"http://{socket.gethostname()}:{early.port}/")
        for address, path, status in ((own_address(), known, 200), (own_address(), "/?token=guess", 403)):
            line = http.client.HTTPConnection(address, early.port, timeout=60)
            line.request("GET", path, headers={"Host": f"{socket.gethostname()}:{early.port}"})
            assert line.getresponse().status == status
            line.close()
    finally:
        early.close()


def test_it_needs_nothing_large(truth):
    code = f"""
import sys
from pathlib import Path
import xinsitu.cli.explore_command
from xinsitu.app.preview import Preview
assert Preview.of(Path({str(truth.folders["time1"])!r})) is not None
print([name for name in {HEAVY!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("public", [False, True])
def test_nobody_is_refused_while_the_explorer_takes_over(truth, public):
    """What listens is handed over as it is; closed and bound anew it refused one in some hundred, and who waited."""
    early = Preview.of(truth.folders["time1"], public=public)
    known, pages, over = early.url[early.url.index("/?") :], [], threading.Event()

    def ask():
        while not over.is_set() or b"bokeh.min.js" not in pages[-1]:
            try:
                line = http.client.HTTPConnection("127.0.0.1", early.port, timeout=60)
                line.request("GET", known)
                pages.append(line.getresponse().read())
                line.close()
            except (OSError, http.client.HTTPException) as fault:
                pages.append(repr(fault).encode())

    def connect():
        while not over.is_set():
            try:
                socket.create_connection(("127.0.0.1", early.port), timeout=60).close()
            except OSError as fault:
                pages.insert(0, repr(fault).encode())

    threads = [threading.Thread(target=one) for one in (ask, connect)]
    for thread in threads:
        thread.start()
    explorer = explore(truth.folders["time1"], reading=Reading(tz="UTC"), port=early, browser=False, public=public)
    over.set()
    for thread in threads:
        thread.join()
    early.close()  # as the command does in the end: what it has given away stays open
    last = urllib.request.urlopen(explorer.url.replace(socket.gethostname(), "127.0.0.1"), timeout=60).read()
    explorer.stop()
    assert explorer.url == early.url
    assert {b"image/png" in page or b"bokeh.min.js" in page for page in (*pages, last)} == {True}
    with pytest.raises(OSError, match=r"refused|reset"):
        urllib.request.urlopen(explorer.url, timeout=5)


@pytest.mark.thorough
@pytest.mark.parametrize("others", [[], ["--public"]])
def test_the_explorer_takes_over_at_the_same_address(truth, others):
    words = ["explore", str(truth.folders["time1"]), "--no-browser", "--tz", "UTC", *others]
    words = [sys.executable, "-m", "xinsitu", *words]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            url = process.stdout.readline().strip()
            text = urllib.request.urlopen(url, timeout=60).read().decode()
            assert "data:image/png" in text
            while "data:image/png" in text:
                text = urllib.request.urlopen(url, timeout=120).read().decode()
            assert "bokeh.min.js" in text
        finally:
            process.terminate()
