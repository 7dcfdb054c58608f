"""Instruments as tables."""

from __future__ import annotations

import os

import numpy as np
import pytest

from tests.helpers.camserver import write_frames
from xinsitu.errors import DocumentError
from xinsitu.io.instruments import instrument_names, load_instrument
from xinsitu.io.measurement import open_flatfield, open_measurement
from xinsitu.io.pixel_maps import read_mask
from xinsitu.io.recognition import named_instrument
from xinsitu.recipe.campaign import check_summary
from xinsitu.recipe.recipe_file import read_recipe


def test_the_table_of_bl11xu():
    table = load_instrument("spring8-bl11xu")
    assert (table.name, table.time_zone, table.y_name, table.x_name) == ("spring8-bl11xu", "Asia/Tokyo", "hk", "l")
    assert table.background.boxes == (((70, 90), (150, 170)),)
    assert table.background.mode == "divide"


def test_twenty_lines_add_a_beamline(tmp_path, monkeypatch):
    folder = tmp_path / "config" / "xinsitu" / "instruments"
    folder.mkdir(parents=True)
    (folder / "my-lab.toml").write_text(
        "title = 'the source in the cellar'\ntime_zone = 'Europe/Copenhagen'\n[axes]\ny = 'qz'\n"
        "[files]\npatterns = ['(?P<name>shot)(?P<frame>\\d+)']\n"
    )
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    assert "my-lab" in instrument_names()
    write_frames(tmp_path / "m", 2, name="shot{}.tif")
    data = open_measurement(tmp_path / "m", instrument="my-lab")
    assert data.attrs["time_zone"] == "Europe/Copenhagen"
    assert (data.y.attrs["long_name"], data.x.attrs["long_name"]) == ("qz", "detector column")
    assert load_instrument(folder / "my-lab.toml").name == "my-lab"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("time_zone = 3", "time_zone is missing"),
        ("time_zone = 'UTC'\ncolour = 1", "unknown colour"),
        ("time_zone = 'UTC'\n[files]\npatterns = ['(']", "no regular expression"),
        ("time_zone = 'UTC'\n[files]\npatterns = ['x']", "needs the groups frame"),
        ("time_zone = 'UTC'\n[background]\ny = [5, 2]\nx = [0, 2]", "background"),
        ("time_zone = ", "no valid TOML"),
    ],
)
def test_a_bad_table_is_named(tmp_path, text, words):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(DocumentError, match=words) as caught:
        load_instrument(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("what", ["configuration", "table of the user", "table", "recipe", "summary"])
def test_a_file_that_would_fill_the_memory_is_refused_by_its_name(tmp_path, monkeypatch, what):
    """Its size is looked at before it is read."""
    folder = tmp_path / "xinsitu"
    (folder / "instruments").mkdir(parents=True)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    path, read = {
        "configuration": (folder / "config.toml", lambda path: named_instrument()),
        "table of the user": (folder / "instruments" / "my.toml", lambda path: load_instrument("my")),
        "table": (tmp_path / "t.toml", load_instrument),
        "recipe": (tmp_path / "r.toml", read_recipe),
        "summary": (tmp_path / "s.csv", check_summary),
    }[what]
    with path.open("wb") as file:
        file.truncate(2**23)
    monkeypatch.setattr(type(path), "read_text", lambda self, *_, **__: pytest.fail(f"{self} is read"))
    monkeypatch.setattr(type(path), "read_bytes", lambda self: pytest.fail(f"{self} is read"))
    words = "is no summary" if what == "summary" else "is larger than 4 MiB"
    with pytest.raises((OSError, DocumentError), match=words) as caught:
        read(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_a_table_of_the_user_that_is_no_file_is_named(tmp_path, monkeypatch, kind):
    """It was in the list, and said not to be there."""
    folder = tmp_path / "xinsitu" / "instruments"
    folder.mkdir(parents=True)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    os.mkfifo(folder / "my.toml") if kind == "pipe" else (folder / "my.toml").mkdir()
    with pytest.raises(DocumentError, match="the instrument's table cannot be read") as caught:
        load_instrument("my")
    assert str(folder / "my.toml") in str(caught.value)


def test_an_unknown_instrument_lists_the_known_ones():
    with pytest.raises(DocumentError, match="no instrument 'esrf-id99'; there are diamond-i07"):
        load_instrument("esrf-id99")


def test_mirrored_frames_are_turned(tmp_path):
    table = tmp_path / "mirror.toml"
    table.write_text("time_zone = 'UTC'\n[axes]\nflip = ['x']\n")
    truth = write_frames(tmp_path / "m", 3)
    data = open_measurement(tmp_path / "m", instrument=table)
    np.testing.assert_array_equal(data.image, truth[:, :, ::-1])
    np.testing.assert_array_equal(data.image[1, 2:4, 3:9], truth[1, 2:4, ::-1][:, 3:9])
    assert data.x.values.tolist() == list(range(17))
    assert data.attrs["flipped"] == "x"
    assert data.image.data.name != open_measurement(tmp_path / "m", tz="UTC").image.data.name
    flat = open_flatfield(tmp_path / "m", instrument=table)
    np.testing.assert_allclose(flat, (truth.mean(0) / truth.mean())[:, ::-1], rtol=1e-14)
    np.save(tmp_path / "bad.npy", truth[0] == 0)
    assert bool(read_mask(tmp_path / "bad.npy", instrument=table)[0, 16])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[counters.monitor]\ncolour = 1", "unknown colour"),
        ("[counters.monitor]\nposition = 'behind'", "before_attenuator or after_attenuator"),
        ("[counters.monitor]\nlag = 'one'", "lag is a number"),
        ("[counters.monitor]\nscale = inf", "scale is a number, not inf"),
        ("[counters.monitor]\nscale = nan", "scale is a number, not nan"),
        ("[logs]\ntolerance = inf", "tolerance in seconds"),
        ("[axes]\nflip = ['z']", "axes has y and x"),
        ("stamp_marks = 'middle'", "'start' or 'end'"),
        ("axes = 1", "axes is a table, not 1"),
        ("files = 1", "files is a table"),
        ("background = 1", "background is a table"),
        ("logs = 1", "logs is a table"),
        ("motors = 1", "motors is a table"),
        ("counters = 1", "counters is a table"),
        ("[counters]\nmonitor = 1", "counters.monitor is a table"),
        ("[counters.monitor]\nunits = 1", "counters.monitor.units is a text"),
        ("[axes]\nflip = [['y']]", r"axes.flip\[0\] is a text"),
        ("[logs]\npatterns = '*.log'", "logs.patterns is a list"),
        ("[logs]\npatterns = [1]", r"logs.patterns\[0\] is a text"),
        ("[files]\npatterns = '(?P<frame>1)'", "files.patterns is a list"),
        ("[logs]\ntolerance = -1", "tolerance in seconds"),
    ],
)
def test_bad_counters_and_axes_are_named(tmp_path, text, words):
    path = tmp_path / "bad.toml"
    path.write_text(f"time_zone = 'UTC'\n{text}\n")
    with pytest.raises(DocumentError, match=words):
        load_instrument(path)
