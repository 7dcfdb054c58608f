"""Figures in files: as large as was asked for, with the panels and letters that were asked for."""

from __future__ import annotations

import itertools
import json
import re

import numpy as np
import pytest
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

import xinsitu as xi
from xinsitu.cli import main
from xinsitu.plots.curves import drawing
from xinsitu.plots.paper import paper_figure

TIME = np.datetime64("2021-03-04T05:06:07", "ns") + np.arange(30) * np.timedelta64(2, "s")
BOXES = [
    {"name": "spot", "y": [60, 100], "x": [220, 262], "role": "signal"},
    {"name": "empty", "y": [60, 100], "x": [150, 200], "role": "background"},
]


@pytest.fixture
def series() -> xr.Dataset:
    """A spot and a ROI on its background, whose positions are noise."""
    both = np.stack([np.linspace(240, 241, 30), np.where(np.arange(30) % 2, 151.0, 199.0)], axis=1)
    data = {name: (("time", "roi"), both, {"units": "pixel"}) for name in ("com_x", "com_y", "fwhm_x", "fwhm_y")}
    data["intensity"] = (("time", "roi"), 1000 + both, {"units": "counts"})
    data["com_x"][2]["axis_name"] = "l"
    coords = {"time": TIME, "roi": ["spot", "empty"], "frame": ("time", np.arange(30))}
    return xr.Dataset(data, coords, attrs={"rois": json.dumps({"rois": BOXES}), "time_zone": "UTC"})


@pytest.fixture
def result(series, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return xi.write_results(series, tmp_path / "a.nc")


def pixels(path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def points(path) -> tuple[float, float]:
    """Width and height of an SVG in points."""
    head = path.read_text()[:2000]
    return tuple(float(re.search(rf'{side}="([\d.]+)pt"', head)[1]) for side in ("width", "height"))  # type: ignore[return-value]


def letters(figure) -> set[float]:
    labels = [text for axes in figure.axes for text in (axes.xaxis.label, axes.yaxis.label)]
    return {text.get_fontsize() for text in labels if text.get_text()}


def test_the_background_is_drawn_only_where_it_is_named(series):
    assert {curve.roi for panel in drawing(series).panels for curve in panel.curves} == {"spot"}
    named = drawing(series, roi=["empty", "spot"])
    assert [curve.roi for curve in named.panels[0].curves] == ["empty", "spot"]
    alone = drawing(series.sel(roi=["empty"]))
    assert {curve.roi for panel in alone.panels for curve in panel.curves} == {"empty"}
    unknown = drawing(series.drop_attrs())
    assert {curve.roi for curve in unknown.panels[0].curves} == {"spot", "empty"}


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ("com,intensity", {"com_y", "com_x", "intensity"}),
        ("fwhm_y", {"fwhm_y"}),
        ("intensity", {"intensity"}),
    ],
)
def test_quantities_by_name(series, asked, shown):
    assert {panel.name for panel in drawing(series, quantity=asked.split(",")).panels} == shown


@pytest.mark.thorough
def test_quantity_on_the_command_line(result, capsys):
    assert main(["plot", "a.nc", "-o", "all.svg", "--size", "80x200"]) == 0
    assert main(["plot", "a.nc", "-o", "two.svg", "--size", "80x200", "--quantity", "com_x,intensity"]) == 0
    panels = [path.read_text().count('<g id="axes_') for path in (result.parent / "all.svg", result.parent / "two.svg")]
    assert panels == [5, 2]
    assert main(["plot", "a.nc", "-o", "none.svg", "--quantity", "com_q"]) == 1
    assert "com_q" in capsys.readouterr().err
    assert not (result.parent / "none.svg").exists()


@pytest.mark.thorough
@pytest.mark.parametrize("size", [(80, 120), (254, 127), (63.5, 40)])
def test_a_figure_is_as_large_as_it_was_asked_to_be(result, size):
    text = f"{size[0]}x{size[1]}"
    for name in ("f.png", "f.svg"):
        assert main(["plot", "a.nc", "-o", name, "--size", text]) == 0
    at_300 = [round(side / 25.4 * 300) for side in size]
    np.testing.assert_allclose(pixels("f.png"), at_300, atol=1)
    np.testing.assert_allclose(points(result.parent / "f.svg"), [side / 25.4 * 72 for side in size], atol=0.1)


@pytest.mark.parametrize("size", ["80", "80x", "5x5", "80x99999", "axb", "-80x50"])
def test_sizes_that_are_none(result, size, capsys):
    assert main(["plot", "a.nc", "-o", "f.png", f"--size={size}"]) == 1
    assert "WIDTHxHEIGHT" in capsys.readouterr().err
    assert not (result.parent / "f.png").exists()


def test_html_has_no_size(result, capsys):
    assert main(["plot", "a.nc", "-o", "f.html", "--size", "80x120"]) == 1
    assert "fills its window" in capsys.readouterr().err


@pytest.mark.thorough
def test_a_slide_is_16_to_9_with_larger_letters(result, series):
    assert main(["plot", "a.nc", "-o", "s.png", "--style", "slide", "--quantity", "com_x,intensity"]) == 0
    width, height = pixels("s.png")
    assert width / height == pytest.approx(16 / 9, rel=0.01)
    two = drawing(series, quantity=["com_x", "intensity"])
    paper, slide = letters(paper_figure(two)), letters(paper_figure(two, style="slide"))
    assert max(paper) <= 8 < 12 <= min(slide)
    with pytest.raises(SystemExit):
        main(["plot", "a.nc", "--style", "poster"])


@pytest.mark.thorough("paper")
@pytest.mark.parametrize("style", ["paper", "slide"])
def test_nothing_is_cut_off_or_written_over(series, style):
    """Every label lies inside the figure, and no panel on another."""
    figure = paper_figure(drawing(series), style=style)
    FigureCanvasAgg(figure).draw()
    whole = figure.bbox
    boxes = [axes.get_tightbbox() for axes in figure.axes]
    for box in (*boxes, *(legend.get_window_extent() for legend in figure.legends)):
        assert whole.x0 - 1 <= box.x0 < box.x1 <= whole.x1 + 1
        assert whole.y0 - 1 <= box.y0 < box.y1 <= whole.y1 + 1
    frames = sorted((axes.get_window_extent() for axes in figure.axes), key=lambda box: box.y0)
    assert all(low.y1 <= high.y0 for low, high in itertools.pairwise(frames))


@pytest.mark.thorough
def test_html_fits_a_window_of_a_laptop(series, tmp_path):
    """Five panels keep their least height within 800 pixels."""
    page = xi.save_plot(series, tmp_path / "f.html").read_text(encoding="utf-8")
    least = [int(height) for height in re.findall(r'"min_height":(\d+)', page)]
    assert len(least) == 5
    assert sum(least) <= 800


@pytest.mark.thorough
@pytest.mark.parametrize("x", ["elapsed", "utc"])
@pytest.mark.parametrize("style", ["paper", "slide"])
def test_names_of_events_at_one_time_stand_beside_each_other(series, x, style):
    """Onsets of several ROIs are fractions of a second apart."""
    moments = [*(TIME[20] + number * np.timedelta64(90, "ms") for number in (1, 0, 2)), TIME[4]]
    events = [xi.Event(f"onset {number}", moment) for number, moment in enumerate(moments)]
    figure = paper_figure(drawing(series, events=events, x=x), style=style)
    FigureCanvasAgg(figure).draw()
    names = [text for text in figure.axes[0].texts if text.get_text().startswith("onset")]
    boxes = sorted((text.get_window_extent() for text in names), key=lambda box: box.x0)
    assert [text.get_text() for text in sorted(names, key=lambda text: text.get_window_extent().x0)] == [
        "onset 3", "onset 1", "onset 0", "onset 2"
    ]  # fmt: skip
    assert all(left.x1 <= right.x0 for left, right in itertools.pairwise(boxes))


@pytest.mark.thorough
def test_all_letters_of_a_logarithmic_axis_are_of_one_size(series):
    figure = paper_figure(drawing(series, log=True))
    FigureCanvasAgg(figure).draw()
    labels = figure.axes[-1].yaxis.get_ticklabels(which="both")
    assert len({text.get_fontsize() for text in labels if text.get_text()}) == 1


@pytest.mark.thorough("50000.0-slide")
@pytest.mark.parametrize("style", ["paper", "slide"])
@pytest.mark.parametrize("ratio", [1.5, 4, 9, 25, 80, 300, 5e4, 1e9])
def test_numbers_of_a_logarithmic_axis_stand_apart(series, ratio, style):
    """However far the intensities reach, two numbers at least tell the scale."""
    series["intensity"].values[:, 0] = np.geomspace(2.7e5, 2.7e5 * ratio, 30)
    figure = paper_figure(drawing(series, log=True), style=style)
    FigureCanvasAgg(figure).draw()
    axis = figure.axes[-1].yaxis
    inside = [
        label.get_window_extent()
        for label in axis.get_ticklabels(which="both")
        if label.get_text() and axis.get_view_interval()[0] <= label.get_position()[1] <= axis.get_view_interval()[1]
    ]
    boxes = sorted(inside, key=lambda box: box.y0)
    assert len(boxes) >= 2
    assert all(low.y1 <= high.y0 for low, high in itertools.pairwise(boxes))


def test_a_number_without_a_unit_has_none_in_brackets(series):
    plain = xi.fraction(series.assign(intensity_errors=series.intensity * 0.01), ["spot", "empty"])
    figure = paper_figure(drawing(plain, quantity="fraction", roi=["spot"]))
    assert "(" not in figure.axes[0].get_ylabel()
