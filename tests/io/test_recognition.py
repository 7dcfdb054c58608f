"""Whose frames these are: named, recognised, or nobody's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import xinsitu as xi
from tests.helpers.camserver import camserver_bytes, ramp, stamp_of, write_frames
from xinsitu.cli import main
from xinsitu.errors import DocumentError, StitchError, TimeError, XinsituWarning
from xinsitu.io.recognition import configure_instrument, named_instrument, recognise
from xinsitu.io.survey import survey

OTHER = "PILATUS 300K, S/N 3-0777, a place of its own"


@pytest.fixture(autouse=True)
def configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("XINSITU_INSTRUMENT", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "configuration"))
    return tmp_path / "configuration" / "xinsitu"


@pytest.fixture
def nobody(tmp_path: Path) -> Path:
    """Frames that no table knows."""
    write_frames(tmp_path / "beamtime" / "film", 6, name="film_{:03d}.tif", model=OTHER)
    return tmp_path / "beamtime" / "film"


@pytest.mark.parametrize(
    ("folder", "name", "model", "instrument"),
    [
        ("0417/time12", "any_{}.tif", "PILATUS 100K, S/N 1-0555, nowhere", "spring8-bl11xu"),
        ("0417/test", "any_{}.tif", "PILATUS 100K", "spring8-bl11xu"),
        ("x/y", "0417_time_3_{:05d}.tif", "PILATUS 100K, S/N 1-0555", "spring8-bl11xu"),
        ("x/y", "InAs0417time2_1_{}.tif", "PILATUS 100K, S/N 1-0555", "spring8-bl11xu"),
        ("0417/time12", "any_{}.tif", "PILATUS 100K-S, S/N 1-0555", "generic"),
        ("0417/time12", "any_{}.tif", "PILATUS 1M, S/N 10-0120", "generic"),
        ("417/time12", "any_{}.tif", "PILATUS 100K", "generic"),
        ("0417/run3", "any_{}.tif", "PILATUS 100K", "generic"),
        ("x/y", "{:05d}.tif", "PILATUS 100K, S/N 1-0102, Diamond", "generic"),
        ("x/y", "any_{}.tif", "PILATUS 100K, S/N 1-0103, Diamond", "diamond-i07"),
        ("0417/time12", "any_{}.tif", "PILATUS 100K, S/N 1-0103, Diamond", "diamond-i07"),  # a serial number wins
        ("x/y", "p100kImage_41_{}.tif", "PILATUS 100K, S/N 1-0999, Diamond", "diamond-i07"),
        ("x/y", "p100kImage_41_{}.tif", "PILATUS 100K, S/N 1-0999", "generic"),
    ],
)
def test_tables_know_their_frames_and_no_others(
    tmp_path: Path, folder: str, name: str, model: str, instrument: str
) -> None:
    write_frames(tmp_path / folder, 3, name=name, model=model)
    assert recognise(tmp_path / folder).table.name == instrument


def test_a_strange_file_in_front_hides_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "0417" / "time1"
    write_frames(folder, 5, name="b_{}.tif")
    (folder / "a_broken_1.tif").write_bytes(b"nothing")
    assert recognise(folder).table.name == "spring8-bl11xu"


def test_two_tables_that_know_the_same_frames_are_said(tmp_path: Path, configuration: Path) -> None:
    (configuration / "instruments").mkdir(parents=True)
    (configuration / "instruments" / "ours.toml").write_text("[[recognise]]\nfolders = ['*/time*']\n")
    write_frames(tmp_path / "0417" / "time1", 2)
    with pytest.warns(XinsituWarning, match="ours and of spring8-bl11xu; none is taken"):
        assert recognise(tmp_path / "0417" / "time1").table.name == "generic"


def test_a_table_of_one_s_own_recognises(tmp_path: Path, configuration: Path, nobody: Path) -> None:
    (configuration / "instruments").mkdir(parents=True)
    table = "time_zone = 'Europe/Paris'\n[axes]\nflip = ['x']\n[[recognise]]\nserials = ['3-0777']\n"
    (configuration / "instruments" / "ours.toml").write_text(table)
    scan = xi.open_measurement(nobody)
    assert scan.attrs["instrument_source"] == "recognised by S/N 3-0777"
    assert scan.attrs["time_zone"] == "Europe/Paris"
    flat = xi.open_flatfield(nobody)
    np.testing.assert_allclose(flat.values[0], scan.image.values.mean(0)[0] / scan.image.values.mean())


@pytest.mark.parametrize(
    "text", ["[[recognise]]\nserials = '1'", "[[recognise]]\nserial = ['1']", "recognise = 3", "[[recognise]]"]
)
def test_a_rule_that_makes_no_sense_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "bad.toml").write_text(text + "\n")
    with pytest.raises(DocumentError, match=r"\[\[recognise\]\] has serials, header, files, folders"):
        xi.open_measurement(tmp_path, instrument=tmp_path / "bad.toml")


def test_the_order_of_what_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "0417" / "time1"
    write_frames(folder, 3)
    opened = [xi.open_measurement(folder).attrs["instrument"]]
    configure_instrument("diamond-i07")
    opened.append(xi.open_measurement(folder).attrs["instrument"])
    monkeypatch.setenv("XINSITU_INSTRUMENT", "generic")
    opened.append(xi.open_measurement(folder, tz="UTC").attrs["instrument"])
    opened.append(xi.open_measurement(folder, instrument="spring8-bl11xu").attrs["instrument"])
    assert opened == ["spring8-bl11xu", "diamond-i07", "generic", "spring8-bl11xu"]
    monkeypatch.setenv("XINSITU_INSTRUMENT", "esrf-id99")
    with pytest.raises(DocumentError, match="XINSITU_INSTRUMENT: no instrument 'esrf-id99'"):
        xi.open_measurement(folder)


def test_the_command_lists_sets_and_forgets(configuration: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["instrument"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in ("diamond-i07", "generic", "spring8-bl11xu", "Asia/Tokyo", "S/N 1-0103"))
    configuration.mkdir(parents=True)
    (configuration / "config.toml").write_text("# mine\ncolour = 'red'\n")
    assert main(["instrument", "diamond-i07"]) == 0
    assert named_instrument().table.name == "diamond-i07"
    assert "colour = 'red'" in (configuration / "config.toml").read_text()
    assert main(["instrument"]) == 0
    assert "diamond-i07 is taken for all frames" in capsys.readouterr().out
    assert main(["instrument", "--forget"]) == 0
    assert named_instrument() is None
    assert (configuration / "config.toml").read_text() == "# mine\ncolour = 'red'\n"
    assert main(["instrument", "esrf-id99"]) == 1


@pytest.mark.thorough
def test_nobody_s_frames_have_no_zone_no_names_and_no_background(
    tmp_path: Path, nobody: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.warns(XinsituWarning, match="times stay what the clock showed") as caught:
        scan = xi.open_measurement(nobody)
    assert len(caught) == 1
    assert scan.attrs["time_zone_source"] == "unknown"
    assert "time_zone" not in scan.attrs
    assert str(scan.time.values[0]).startswith("2014-05-28T17:00:00")
    assert (scan.y.attrs["long_name"], scan.x.attrs["long_name"]) == ("detector row", "detector column")
    text = str(survey(nobody))
    assert "on the detector's clock; its time zone is not known" in text
    assert "generic (nothing recognised)" in text
    assert "UTC" not in text
    monkeypatch.chdir(tmp_path)
    assert main(["parse", str(nobody), "-o", "p.nc"]) == 0
    said = capsys.readouterr()
    assert "background" not in said.out
    assert "UTC" not in said.out
    assert said.err.count("warning") == 1


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore:.*nor is the time zone:xinsitu.XinsituWarning")
def test_nothing_shows_a_clock_of_unknown_zone_as_utc(tmp_path: Path, nobody: Path) -> None:
    scan = xi.open_measurement(nobody)
    series = xi.measure(scan, [xi.Roi("a", y=(2, 8), x=(3, 9))]).compute()
    table = xi.to_dataframe(series)
    assert table.index.tz is None
    assert "unix_time" not in table
    assert str(table.index[0]) == "2014-05-28 17:00:00"
    path = xi.write_csv(series, tmp_path / "a.csv")
    first = pd.read_csv(path)["time"][0]
    assert first.startswith("2014-05-28T17:00:00")
    assert not first.endswith("Z")
    with pytest.raises(TimeError, match="time zone of the frames is not known"):
        xi.plot(series, x="utc")
    xi.save_plot(series, tmp_path / "a.svg", x="local")
    drawn = (tmp_path / "a.svg").read_text()
    assert "UTC" not in drawn
    assert "clock" in drawn
    title = xi.plot_frames(scan)[0].opts.get("plot").kwargs["title"]
    assert "2014-05-28T17:00:00" in title
    assert "UTC" not in title
    assert _key(series, 1).to_dict() == {"measurement": "film", "scan": 1, "frame": 1}
    assert xi.resolve_key(series, "2014-05-28T17:00:03") == 3


def _key(series: xr.Dataset, position: int) -> xi.Key:
    from xinsitu.physics.moments import frame_key

    key = frame_key(series, position)
    assert key is not None
    return key


@pytest.mark.filterwarnings("ignore:.*nor is the time zone:xinsitu.XinsituWarning")
def test_utc_and_a_clock_of_unknown_zone_are_not_joined(nobody: Path) -> None:
    roi = [xi.Roi("a", y=(2, 8), x=(3, 9))]
    one, other = xi.open_measurement(nobody), xi.open_measurement(nobody, tz="Europe/Paris")
    other = other.assign_coords(measurement="other", time=other.time + np.timedelta64(1, "D"))
    with pytest.raises(StitchError, match="times of film are those of a clock whose zone is not known"):
        xi.stitch([xi.measure(one, roi).compute(), xi.measure(other, roi).compute()])


def test_stamps_that_need_no_zone_are_utc_for_anybody(tmp_path: Path) -> None:
    for number in range(3):
        stamp = f"{stamp_of(number).replace(':', '-', 2)}+02:00"
        data = camserver_bytes(ramp(number), stamp="", text=f"# {stamp.replace(' ', 'T')}\r\n", model=OTHER)
        (tmp_path / f"a_{number}.tif").write_bytes(data)
    frames = [p for p in sorted(tmp_path.iterdir()) if p.suffix == ".tif"]
    times = np.datetime64("2020-01-01T00:00:00") + np.arange(3) * np.timedelta64(1, "s")
    scan = xi.open_measurement(frames, time=times)
    assert (scan.attrs["time_zone"], scan.attrs["time_zone_source"]) == ("UTC", "given")


def test_real_frames_are_recognised_without_a_word(shared_data: Path) -> None:
    for name in ("380404", "380405", "380406"):
        scan = xi.open_measurement(shared_data / "i07" / "refl" / name)
        assert scan.attrs["instrument"] == "diamond-i07"
        assert scan.attrs["instrument_source"] == "recognised by S/N 1-0103"
        assert scan.attrs["time_zone"] == "Europe/London"
        assert "monitor" in scan.coords
    assert recognise(shared_data / "outside" / "dls_i16_p100k").table.name == "generic"
    assert recognise(shared_data / "outside" / "p300kw_edf" / "pilatus300k.edf").table.name == "generic"
