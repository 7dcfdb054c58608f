"""A notebook that is really run: figures to go on with, frames read one by one, and the explorer's handle."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.drawing import drawn
from xinsitu.simulate import Truth

nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

CELLS = [
    """
import warnings
warnings.simplefilter("ignore")
import holoviews as hv, numpy as np, xarray as xr
import xinsitu as xi
scan = xi.open_measurement(FOLDER + "/0884/time1", tz="Asia/Tokyo")
rois = xi.read_rois(FOLDER + "/rois.json")
events = xi.read_events(FOLDER + "/events.json")
""",
    """
figure = scan.insitu.plot_frames(rois=rois)
assert isinstance(figure, hv.DynamicMap)
shown = (figure * hv.HLine(100)).opts(title="mine")
shown
""",
    """
pair = scan.insitu.plot_rois(rois) + scan.insitu.plot_kymograph(rois["CTR"], along="x").opts(cmap="magma")
assert isinstance(pair, hv.Layout)
pair
""",
    """
tree = xi.open_sample(FOLDER + "/0884", tz="Asia/Tokyo").insitu.measure(rois).compute()
sample = xi.with_events(tree.insitu.stitch(), events)
joined = sample.insitu.plot(t0="In shutter open")
assert isinstance(joined, hv.Layout) and len(joined) >= 3
assert isinstance(joined + hv.Curve([1, 2]), hv.Layout)
assert len(tree.insitu.plot()) == len(joined)
joined
""",
    """
handle = scan.insitu.explore(rois=rois)
handle
""",
    """
import urllib.request
assert b"xinsitu" in urllib.request.urlopen(handle.url).read()
assert list(handle.rois) == list(rois)
assert handle.series.equals(xi.measure(scan, rois).compute())
assert len(handle.to_dataframe()) == scan.sizes["time"] * len(rois)
assert handle.to_dataframe("wide").shape[0] == scan.sizes["time"]
other = scan.image.insitu.explore(rois=rois)
assert other.url != handle.url
other.stop(); handle.stop()
""",
]


@pytest.mark.slow
def test_a_notebook_runs(experiment: Truth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nbformat

    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    folder = experiment.folders["sample"].parent
    sources = [f"FOLDER = {str(folder)!r}", *CELLS]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source.strip()) for source in sources])
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    outputs = [str(cell.outputs) for cell in notebook.cells]
    assert sum("application/vnd.holoviews_exec" in one or "text/html" in one for one in outputs) >= 4
    assert [one.count("cdn.holoviz.org") for one in outputs] == [0] * len(outputs)  # style sheets come with the figures
    assert '<iframe src="http://127.0.0.1:' in outputs[5].replace("\\'", "'")


@pytest.mark.thorough
def test_a_frame_is_read_when_it_is_shown_and_no_other(
    experiment: Truth, monkeypatch: pytest.MonkeyPatch, files_one_by_one: None
) -> None:
    import xinsitu as xi
    from xinsitu.io.formats.stack import FrameStack

    scan = xi.open_measurement(experiment.folders["time1"], tz="Asia/Tokyo")
    assert scan["image"].chunks[0][0] > 1  # whatever the chunks are
    read: list[int] = []
    plain = FrameStack._read_file

    def noted(self: FrameStack, path: str, frame: int, *rest: object) -> None:
        read.append(frame)
        plain(self, path, frame, *rest)

    monkeypatch.setattr(FrameStack, "_read_file", noted)
    figure = scan.insitu.plot_frames(rois=experiment.rois, correction=xi.Correction(median=3))
    assert read == []
    drawn(figure)
    assert read == [0]
    for frame in (7, 31):
        figure[frame]
    assert read == [0, 7, 31]
