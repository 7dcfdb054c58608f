"""Logs beside the frames: parsed as others parse them, joined by name, point or time."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
import tifffile

from tests.helpers.camserver import camserver_bytes, ramp, stamp_of, write_frames
from xinsitu.cli import main
from xinsitu.digits import counted
from xinsitu.errors import DocumentError, XinsituWarning
from xinsitu.io.instruments import load_instrument
from xinsitu.io.log_files import read_log
from xinsitu.io.log_join import FrameKeys, Joined, _apart, join_logs
from xinsitu.io.measurement import open_measurement
from xinsitu.schema import Quality

MISSING = "as frequent as the frames, but not as many: joined by time, {} of {} frames may have the point of the frame"
LABELS = "Time  Epoch  Seconds  F.M.  bg  pico1  roi0  roi1  roi2  Monitor  Detector"
SPEC = """#F 0799time2
#E 1401264276
#D Wed May 28 17:04:36 2014
#C BL11XU  User = mbe

#S 1  timescan 0.95 0
#D Wed May 28 17:04:36 2014
#N 11
#L {labels}
{first}#C a comment between points
{second}
#S 2  timescan 0.95 0
#D Wed May 28 17:06:27 2014
#N 11
#L {labels}
{third}"""


def rows(count, start, epoch=0.0):
    return "".join(f"{i} {epoch + i} 0.95 {start + i} 0 1e-7 1 2 3 {10 * start + i} 5\n" for i in range(count))


def spec(counts=(2, 3, 4), epoch=0.0):
    first, second, third = (rows(n, 100 * (k + 1), epoch + 1000 * k) for k, n in enumerate(counts))
    return SPEC.format(labels=LABELS, first=first, second=second, third=third)


def test_spec_scans_are_those_of_silx(tmp_path):
    specfile = pytest.importorskip("silx.io.specfile")
    path = tmp_path / "0799time2.log"
    path.write_text(spec())
    tables = read_log(path)
    reference = specfile.SpecFile(str(path))
    assert [table.scan for table in tables] == [1, 2] == [scan.number for scan in reference]
    for table, scan in zip(tables, reference, strict=True):
        assert list(table.columns) == scan.labels
        for label in scan.labels:
            np.testing.assert_array_equal(table.columns[label], scan.data_column_by_name(label))
    assert tables[0].epoch == 1401264276
    assert tables[0].bad_lines == 0


def test_a_broken_line_is_left_out_and_counted(tmp_path):
    path = tmp_path / "x.log"
    path.write_text(spec() + "5 6 7\nnot a number at all 1 2 3 4 5 6\n")
    table = read_log(path)[1]
    assert (len(table), table.bad_lines) == (4, 2)


def test_gda_files(shared_data):
    (table,) = read_log(shared_data / "i07" / "refl" / "refl_1.dat")
    assert table.scan == 380404
    assert len(table) == 61
    assert table.columns["d5i"][0] == 15.977
    assert table.texts["file"][0] == "p100kImage_380404_5885902.tif"
    assert table.metadata["transmission"] == "7.44052e-05"


def test_points_of_the_last_frames_are_never_counted(tmp_path):
    """Nobody knows which points of a log are of the last frames of a measurement, though there be as many."""
    (tmp_path / "ring.csv").write_text("current,note\n" + "".join(f"{300 + n},a\n" for n in range(4)))
    names, number = [f"run_{n:04d}.tif" for n in range(40, 44)], np.arange(40, 44)
    keys = FrameKeys(names, np.ones(4, dtype="int64"), number, None, "UTC")
    paths, table = [str(tmp_path / "ring.csv")], load_instrument("generic")
    joined, _ = join_logs(paths, keys, table)
    assert joined["current"].values.tolist() == [300, 301, 302, 303]
    with pytest.raises(DocumentError, match="no scan of the log has the frames' names"):
        join_logs(paths, replace(keys, last=True), table)


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_tables_with_a_header_line(tmp_path, mark):
    path = tmp_path / "t.csv"
    lines = ["time,current,name", "2014-05-28T17:00:00+00:00,300.5,a", "2014-05-28T17:00:01+00:00,,b"]
    path.write_text("\n".join(line.replace(",", mark) for line in lines))
    (table,) = read_log(path)
    np.testing.assert_array_equal(table.columns["current"], [300.5, np.nan])
    assert table.texts["name"] == ("a", "b")


@pytest.mark.parametrize("mark", [";", "\t", "  "])
def test_a_comma_that_parts_no_columns_is_the_decimal_point(tmp_path, mark):
    """Columns of them were taken for texts, and no counter joined the frames."""
    lines = ["time,current,name", "2014-05-28T17:00:00.5+00:00,300.5,a.b", "2014-05-28T17:00:01+00:00,-1.25e3,7.5.1"]
    (tmp_path / "t.csv").write_text("\n".join(line.replace(",", mark).replace(".", ",") for line in lines))
    (table,) = read_log(tmp_path / "t.csv")
    assert table.columns["current"].tolist() == [300.5, -1250]
    assert table.texts["name"] == ("a,b", "7,5,1")


def test_a_comma_beside_decimal_points_is_none(tmp_path):
    """Taken for one, 1,234 counts were 1.234; most of the column is no number, so it is text and joins nothing."""
    (tmp_path / "t.csv").write_text("elapsed\tcounts\n0.5\t1,234\n1.0\t1,250\n1.5\t1,301\n")
    (table,) = read_log(tmp_path / "t.csv")
    assert table.columns["elapsed"].tolist() == [0.5, 1.0, 1.5]
    assert table.texts["counts"] == ("1,234", "1,250", "1,301")


def test_a_cell_that_is_no_number_costs_its_point_alone_and_is_said(tmp_path):
    write_frames(tmp_path / "m", 5, exposure=0)
    rows = [f"2014-05-28T17:00:0{second}Z,{100 + second},{'abc'[second % 3]}" for second in range(5)]
    rows[2] = rows[2].replace("102", "overflow")
    (tmp_path / "m" / "m.csv").write_text("\n".join(["time,mon,name", *rows]) + "\n")
    data = open_measurement(tmp_path / "m", tz="UTC", instrument="generic", logs=tmp_path / "m" / "m.csv")
    np.testing.assert_array_equal(data.mon, [100, 101, np.nan, 103, 104])
    assert data.attrs["log_join"].endswith("; 1 of 5 cells of mon are no numbers ('overflow' first)")


@pytest.mark.parametrize("text", ["", "hello\n", "1 2 3\n4 5 6\n", "&SRS\n x=1\n"])
def test_what_is_no_log_is_named(tmp_path, text):
    path = tmp_path / "bad.log"
    path.write_text(text)
    with pytest.raises(DocumentError, match=r"bad\.log"):
        read_log(path)


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "0799" / "time2"
    write_frames(path, 5, name="0799time2_1_{}.tif")
    for number in range(4):
        pixels = camserver_bytes(ramp(10 + number), stamp_of(60 + number))
        (path / f"0799time2_2_{number}.tif").write_bytes(pixels)
    return path


def test_points_are_joined_where_counts_agree(folder):
    (folder / "0799time2.log").write_text(spec())
    data = open_measurement(folder, tz="UTC")
    expected = [1000, 1001, 2000, 2001, 2002, 3000, 3001, 3002, 3003]
    assert data.monitor.values.tolist() == expected
    assert data.monitor.attrs["position"] == "before_attenuator"
    assert data.monitor.attrs["units"] == "counts"
    apart = "the points are 31126 s earlier than the frames"  # these stamps are no UTC
    assert data.attrs["log_join"] == f"0799time2.log: by point; {apart}"
    assert data.image.coords["monitor"].dims == ("time",)
    (folder / "0799time2_1_3.tif").unlink()
    data = open_measurement(folder, tz="UTC")
    assert data.monitor.values.tolist() == [value for i, value in enumerate(expected) if i != 3]


def test_points_are_joined_by_time_where_counts_differ(tmp_path):
    folder = tmp_path / "m"
    write_frames(folder, 5)
    seconds = 1_401_296_400 + np.arange(-2, 12, 2)  # every other second, from before the first frame
    lines = [f"{second},{100 + second % 100}" for second in seconds]
    (tmp_path / "ring.csv").write_text("epoch,current\n" + "\n".join(lines))
    data = open_measurement(folder, tz="UTC", instrument="generic", logs=tmp_path / "ring.csv")
    assert data.attrs["log_join"] == "ring.csv: by time"
    assert np.abs(data.epoch.values - (1_401_296_400 + np.arange(5))).max() <= 1
    assert data.current.values[2] == 100 + 1_401_296_402 % 100


def test_frames_far_from_any_point_have_none(tmp_path):
    folder = tmp_path / "m"
    write_frames(folder, 6, exposure=0)
    (tmp_path / "ring.csv").write_text("epoch,current\n1401296400,7\n1401296401,8\n")
    with pytest.warns(XinsituWarning, match=MISSING.format(1, 6)):
        data = open_measurement(folder, tz="UTC", instrument="generic", logs=tmp_path / "ring.csv")
    np.testing.assert_array_equal(data.current.values, [7, 8, 8, np.nan, np.nan, np.nan])
    assert "3 of 6 frames without a point" in data.attrs["log_join"]


def test_a_counter_that_lags_is_shifted(tmp_path):
    folder = tmp_path / "m"
    write_frames(folder, 4)
    (folder / "m.log").write_text("frame_no,ion\n0,10\n1,11\n2,12\n3,13\n")
    table = tmp_path / "late.toml"
    table.write_text("time_zone = 'UTC'\n[counters.monitor]\ncolumn = 'ion'\nlag = 1\nscale = 2\n")
    data = open_measurement(folder, instrument=table)
    np.testing.assert_array_equal(data.monitor.values, [22, 24, 26, np.nan])


def test_a_log_without_a_line_that_makes_sense_is_said(folder):
    (folder / "odd.log").write_text("#S 1 timescan\n#N 2\n#L Time  Mon\n0 1,5\n1 2,5 3\n")
    with pytest.warns(XinsituWarning, match="no line of its points makes sense, of 2"):
        open_measurement(folder, tz="UTC")


def test_a_log_that_does_not_fit(folder):
    (folder / "other.log").write_text("#S 7\n#L a  b\n1 2\n")
    with pytest.warns(XinsituWarning, match=r"other\.log is not joined to the frames"):
        data = open_measurement(folder, tz="UTC")
    assert "monitor" not in data.coords
    assert "log_join" not in open_measurement(folder, tz="UTC", logs=None).attrs
    with pytest.raises(DocumentError, match="other"):
        open_measurement(folder, tz="UTC", logs=folder / "other.log")
    with pytest.raises(DocumentError, match="gone"):
        open_measurement(folder, tz="UTC", logs=folder / "gone.log")


def test_i07_scans_open_with_monitor_and_attenuation(shared_data):
    expected = {
        "380404": (100, 7.44052e-7, 15.977),
        "380405": (72, 3.88703e-5, 15.893),
        "380406": (46, 1.2234e-3, 15.444),
    }
    for scan, (filters, transmission, first) in expected.items():
        data = open_measurement(shared_data / "i07" / "refl" / scan, instrument="diamond-i07")
        assert (data.attenuation == filters).all()
        np.testing.assert_allclose(data.transmission, transmission, rtol=1e-12)
        assert float(data.monitor[0]) == first
        assert data.monitor.attrs["position"] == "before_attenuator"
        assert data.attrs["log_join"].endswith("by name")


@pytest.mark.thorough
def test_i07_scans_stitch_on_true_time(shared_data):
    from xinsitu import Roi, measure, stitch

    folders = [shared_data / "i07" / "refl" / scan for scan in ("380404", "380405", "380406")]
    with pytest.warns(XinsituWarning, match="dcdomega move within the measurement"):
        series = [
            measure(open_measurement(f, instrument="diamond-i07"), [Roi("spot", (50, 90), (220, 270))]) for f in folders
        ]
    for one in series:  # a scan of angles: each frame stands elsewhere than the one before
        assert ((one.quality.values & Quality.FRAME_IN_MOTION) > 0).ravel().tolist() == [False] + [True] * (
            one.sizes["time"] - 1
        )
        assert one.diff1vdelta.attrs == {"units": "deg", "long_name": "motor diff1vdelta", "log_column": "diff1vdelta"}
        assert "dcdomega_requested" not in one.coords
    sample = stitch([one.compute() for one in series])
    assert sample.sizes["time"] == 90
    assert sample.time.values[0] == np.datetime64("2020-02-27T15:55:21")
    assert sample.time.values[61] == np.datetime64("2020-02-27T15:58:05")
    assert (np.diff(sample.time.values) > np.timedelta64(0)).all()
    assert sample.attenuation.values[[0, 61, 76]].tolist() == [100, 72, 46]


def test_motors_that_a_spec_file_lists_flag_the_frames_in_which_they_move(tmp_path):
    from xinsitu import Roi, measure

    folder = tmp_path / "m"
    write_frames(folder, 5)
    points = "".join(f"{angle} {number} 100\n" for number, angle in enumerate((1.0, 1.0, 1.5, 1.5, 1.5)))
    head = "#F m\n#E 1401296400\n#O0 Two Theta  Chi  sample x\n#O1 Phi\n\n"
    (folder / "m.log").write_text(head + f"#S 1 loopscan 5 1\n#N 3\n#L Two Theta  point  Monitor\n{points}")
    scan = open_measurement(folder, instrument="generic", tz="UTC")
    assert scan["Two_Theta"].attrs["long_name"] == "motor Two Theta"
    assert not scan["point"].attrs["long_name"].startswith("motor")
    with pytest.warns(XinsituWarning, match="Two_Theta moves"):
        series = measure(scan, [Roi("a", (0, 2), (0, 2))])
    flags = (series.quality.values.ravel() & Quality.FRAME_IN_MOTION) > 0
    assert flags.tolist() == [False, False, True, False, False]


def test_a_table_of_motors_that_makes_no_sense_is_refused(tmp_path):
    table = tmp_path / "bad.toml"
    table.write_text("time_zone = 'UTC'\n[motors]\ndeg = 'th'\n")
    with pytest.raises(DocumentError, match="columns by their units"):
        load_instrument(table)


def test_values_between_two_points(tmp_path):
    folder = tmp_path / "m"
    write_frames(folder, 5, exposure=0)
    rows = "".join(f"{1_401_296_400 + second},{second}\n" for second in (-4, 0, 4, 8))
    (tmp_path / "ring.csv").write_text("epoch,current\n" + rows)
    table = tmp_path / "ring.toml"
    table.write_text(
        "time_zone = 'UTC'\n[logs]\ntolerance = 3\n[counters.ring]\ncolumn = 'current'\ninterpolate = true\n"
        "[counters.nearest]\ncolumn = 'current'\n"
    )
    data = open_measurement(folder, instrument=table, logs=tmp_path / "ring.csv")
    np.testing.assert_allclose(data.ring, np.arange(5))
    np.testing.assert_array_equal(data.nearest, [0, 0, 4, 4, 4])
    table.write_text("time_zone = 'UTC'\n[logs]\ntolerance = 0.5\n[counters.ring]\ncolumn = 'current'\n")
    data = open_measurement(folder, instrument=table, logs=tmp_path / "ring.csv")
    np.testing.assert_array_equal(data.ring, [0, np.nan, np.nan, np.nan, 4])


def test_the_log_of_a_scan_is_found_among_many(tmp_path):
    folder = tmp_path / "visit" / "p100k"
    write_frames(folder, 3, name="p100kImage_7_{}.tif")
    for scan in range(100):
        (tmp_path / "visit" / f"{scan}.dat").write_text(f"frame_no\td5i\n0\t{scan}\n1\t{scan}\n2\t{scan}\n")
    data = open_measurement(folder, instrument="diamond-i07")
    assert data.monitor.values.tolist() == [7, 7, 7]
    (tmp_path / "visit" / "7.dat").unlink()
    with pytest.warns(XinsituWarning, match=r"no log is joined to the frames: 99 files fit \.\./\*\.dat"):
        open_measurement(folder, instrument="diamond-i07")


@pytest.mark.parametrize("text", ["", "camserver started\n", "#S 1\n#L a  b\n"])
def test_a_file_that_is_no_log_is_nobodys_fault(folder, text):
    (folder / "camserver.log").write_text(text)
    data = open_measurement(folder, tz="UTC")  # without a warning
    assert data.attrs["log_join"].startswith("camserver.log is not joined to the frames")
    with pytest.raises(DocumentError, match=r"camserver\.log"):
        open_measurement(folder, tz="UTC", logs=folder / "camserver.log")


def test_times_without_an_offset_are_the_instruments(tmp_path):
    folder = tmp_path / "m"
    write_frames(folder, 4)  # 17:00:00 to 17:00:03 on the clock of the detector
    rows = "".join(f"2014-05-28T17:00:{second:02d},{second}\n" for second in range(20))
    rows = "2014-05-28T16:59:58,-2\n" + rows  # it was there before them
    (tmp_path / "furnace.csv").write_text("time,power\n" + rows)
    data = open_measurement(folder, tz="Asia/Tokyo", instrument="generic", logs=tmp_path / "furnace.csv")
    assert data.power.values.tolist() == [0, 1, 2, 3]
    (tmp_path / "utc.csv").write_text(
        "time,power\n" + rows.replace(",", "+00:00,").replace("T17", "T08").replace("T16", "T07")
    )
    data = open_measurement(folder, tz="Asia/Tokyo", instrument="generic", logs=tmp_path / "utc.csv")
    assert data.power.values.tolist() == [0, 1, 2, 3]


def test_two_logs_that_fit_equally_well_are_said(folder):
    (folder / "0799time2.log").write_text(spec())
    (folder / "0799time2_old.log").write_text(spec().replace("#E 1401264276", "#E 1401264277"))
    with pytest.warns(XinsituWarning, match=r"0799time2\.log: joined to the frames, but so could be scan 1 of .*_old"):
        data = open_measurement(folder, tz="UTC")
    assert data.monitor.values[:2].tolist() == [1000, 1001]
    one = open_measurement(folder, tz="UTC", logs=folder / "0799time2_old.log")  # without a warning
    assert one.attrs["log_join"].startswith("0799time2_old.log: by point")


def lines(count, *, start=0.0, broken=None):
    rows = [f"{second} {start + second} {100 + second}" for second in range(count)]
    if broken is not None:
        rows[broken] = rows[broken].rsplit(" ", 1)[0]
    return "\n".join(rows) + "\n"


@pytest.mark.parametrize("broken", [[0], [3], [6], [2, 3], [0, 6]])
def test_a_broken_line_that_was_a_point_is_a_gap_and_the_others_keep_their_frames(tmp_path, broken):
    """Each point comes 0.6 s after its frame: the nearest in time, of which the counters were, is that before."""
    folder = tmp_path / "m"
    write_frames(folder, 7, exposure=0)
    rows = [f"{second} {second + 0.6} {100 + second}" for second in range(7)]
    for number in broken:
        rows[number] = rows[number].rsplit(" ", 1)[0]
    (folder / "m.log").write_text("#S 1\n#E 1401296400\n#L Time  Epoch  Monitor\n" + "\n".join(rows) + "\n")
    data = open_measurement(folder, tz="UTC", instrument="generic")
    expected = [np.nan if number in broken else 100 + number for number in range(7)]
    np.testing.assert_array_equal(data.Monitor.values, expected)
    lost = len(broken)
    said = f"m.log: by point; {lost} of 7 frames without a point; {counted(lost, 'line')} of the log made no sense"
    assert data.attrs["log_join"] == said


def test_a_broken_line_that_was_no_point_is_none(tmp_path):
    """The times around it go on at their pace: six points, and one of seven frames has none, whichever it is."""
    folder = tmp_path / "m"
    write_frames(folder, 7, exposure=0)
    rows = [f"{second} {second} {100 + second}" for second in range(6)]
    rows.insert(3, "resumed after a refill")
    (folder / "m.log").write_text("#S 1\n#E 1401296400\n#L Time  Epoch  Monitor\n" + "\n".join(rows) + "\n")
    with pytest.warns(XinsituWarning, match=MISSING.format(1, 7)):
        data = open_measurement(folder, tz="UTC", instrument="generic")
    assert data.attrs["log_join"] == "m.log: by time; 1 line of the log made no sense"
    assert data.Monitor.values.tolist() == [100, 101, 102, 103, 104, 105, 105]  # one step away is near enough


def test_a_broken_line_among_the_points_shifts_nothing(tmp_path):
    folder = tmp_path / "m"
    write_frames(folder, 5, exposure=0)  # 17:00:00 to 17:00:04
    path = folder / "m.log"  # six points, the third of them cut: as many lines as frames are left
    path.write_text(f"#S 1\n#E 1401296400\n#L Time  Epoch  Monitor\n{lines(6, broken=2)}")
    with pytest.warns(XinsituWarning, match=MISSING.format(1, 5)):
        data = open_measurement(folder, tz="UTC", instrument="generic")
    assert data.attrs["log_join"] == "m.log: by time; 1 line of the log made no sense"
    assert data.Monitor.values.tolist() == [100, 101, 103, 103, 104]  # the nearest point that there is


def test_points_of_a_scan_without_an_epoch_count_from_its_date(tmp_path):
    folder = tmp_path / "m"
    write_frames(folder, 4)
    (folder / "m.log").write_text(f"#S 1\n#D Wed May 28 16:59:58 2014\n#L Time  Dead  Monitor\n{lines(9)}")
    with pytest.warns(XinsituWarning, match="9 points for 4 frames: frames are missing"):
        data = open_measurement(folder, tz="Asia/Tokyo", instrument="generic")
    assert data.Monitor.values.tolist() == [102, 103, 104, 105]
    assert data.attrs["log_join"] == "m.log: by time"


def test_points_without_a_time_are_nobodys(tmp_path):
    folder = tmp_path / "m"
    write_frames(folder, 3, exposure=0)
    rows = ["2014-05-28T17:00:00Z,1", ",2", "never,3", "2014-05-28T17:00:02Z,4"]
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["time,v", *rows]))
    data = open_measurement(folder, tz="UTC", instrument="generic", logs=path)
    assert data.v.values.tolist() == [1, 4, 4]
    path.write_text("epoch,v\n1401296400,1\nnan,2\n1e300,3\n1401296402,4\n")
    data = open_measurement(folder, tz="UTC", instrument="generic", logs=path)
    assert data.v.values.tolist() == [1, 4, 4]


def test_spectra_between_the_points_are_no_points(tmp_path):
    specfile = pytest.importorskip("silx.io.specfile")
    path = tmp_path / "mca.log"
    path.write_text("#F x\n\n#S 1\n#N 2\n#L Time  Monitor\n@A 1 2\\\n 3 4\n0 10\n@A 5 6\\\n 7 8\\\n 9 9\n1 11\n")
    (table,) = read_log(path)
    (scan,) = specfile.SpecFile(str(path))
    np.testing.assert_array_equal(table.columns["Monitor"], scan.data_column_by_name("Monitor"))
    assert (len(table), table.bad_lines) == (2, 0)


def test_a_counter_that_lags_is_shifted_before_it_is_interpolated(tmp_path):
    folder = tmp_path / "m"
    write_frames(folder, 5, exposure=0)
    rows = "".join(f"{1_401_296_400 + second},{second - 4}\n" for second in (-4, 0, 4, 8))
    (tmp_path / "ring.csv").write_text("epoch,current\n" + rows)
    table = tmp_path / "ring.toml"
    table.write_text("time_zone = 'UTC'\n[counters.ring]\ncolumn = 'current'\ninterpolate = true\nlag = 1\n")
    data = open_measurement(folder, instrument=table, logs=tmp_path / "ring.csv")
    np.testing.assert_allclose(data.ring, np.arange(5))


@pytest.mark.parametrize(
    ("scale", "written", "expected"), [(1, "0.25", 0.25), (0.01, "25", 0.25), (1, "4", 4)], ids=["0..1", "%", "index"]
)
def test_what_a_counter_means_is_in_the_table(tmp_path, scale, written, expected):
    folder = tmp_path / "m"
    write_frames(folder, 2)
    (folder / "m.log").write_text(f"frame_no,att\n0,{written}\n1,{written}\n")
    table = tmp_path / "own.toml"
    table.write_text(
        "time_zone = 'UTC'\n[counters.transmission]\ncolumn = 'att'\nunits = '1'\nposition = 'after_attenuator'\n"
        f"meaning = 'of the filters'\nscale = {scale}\n"
    )
    counter = open_measurement(folder, instrument=table).transmission
    np.testing.assert_allclose(counter, expected)
    assert counter.attrs == {
        "units": "1",
        "long_name": "of the filters",
        "log_column": "att",
        "position": "after_attenuator",
    }


def test_what_the_headers_say_wins_over_the_log_and_is_said(tmp_path):
    from tests.helpers.hostile import epics_bytes

    folder = tmp_path / "m"
    folder.mkdir()
    for number in range(3):
        (folder / f"m_{number}.tif").write_bytes(epics_bytes(ramp(number)))
    (folder / "m.log").write_text("frame_no,Temperature,current\n0,1,7\n1,2,8\n2,3,9\n")
    data = open_measurement(folder, tz="UTC", instrument="generic")
    assert data.Temperature.values.tolist() == [21.5] * 3
    assert data.current.values.tolist() == [7, 8, 9]
    assert data.attrs["log_join"] == "m.log: by point; Temperature taken from the headers of the frames"


def test_a_remark_about_one_frame_is_no_column_of_names(tmp_path):
    folder = tmp_path / "m"
    write_frames(folder, 4, name="m_{}.tif")
    rows = [f"{number},{100 + number},{'m_2.tif' if number == 0 else 'fine'}" for number in range(4)]
    (folder / "m.log").write_text("\n".join(["frame_no,current,remark", *rows]))
    data = open_measurement(folder, tz="UTC", instrument="generic")
    assert data.current.values.tolist() == [100, 101, 102, 103]
    assert data.attrs["log_join"] == "m.log: by point"


def named(folder, numbers, pattern="run_{:04d}.tif"):
    rows = "".join(f"{pattern.format(number)}\t{100 + number}\n" for number in numbers)
    (folder / "run.log").write_text("&SRS\n SRSRUN=7,SRSDAT=2014528\n&END\nfile\tmonitor\n" + rows)


@pytest.mark.parametrize(("there", "told"), [([4], [3]), (range(30, 40), range(10)), (range(9, 19), range(10))])
def test_points_that_bear_the_names_of_other_frames_are_never_counted(tmp_path, there, told):
    """A log of another run, of as many points: only what it says of these frames is joined."""
    for number in there:
        (tmp_path / f"run_{number:04d}.tif").write_bytes(camserver_bytes(ramp(number), stamp_of(number)))
    named(tmp_path, told)
    if common := set(there) & set(told):
        data = open_measurement(tmp_path, tz="UTC", time="frame")
        expected = [100 + number if number in common else np.nan for number in there]
        np.testing.assert_array_equal(data.monitor, expected)
    else:
        with pytest.warns(XinsituWarning, match=r"run\.log is not joined"):
            data = open_measurement(tmp_path, tz="UTC", time="frame")
        assert "monitor" not in data.coords


@pytest.mark.parametrize("pattern", ["run_{}.tif", "run_{:04d}.edf", "elsewhere_{}.tif", "raw/run_{:06d}.cbf"])
def test_points_of_frames_that_were_renamed_are_counted(tmp_path, pattern):
    for number in range(8):
        (tmp_path / f"run_{number:04d}.tif").write_bytes(camserver_bytes(ramp(number), stamp_of(number)))
    named(tmp_path, range(8), pattern)
    data = open_measurement(tmp_path, tz="UTC", time="frame")
    assert data.monitor.values.tolist() == [100.0 + number for number in range(8)]


def test_clocks_of_points_without_a_time_are_not_compared(tmp_path):
    """Nothing is said of clocks that are apart, and no mean of nothing is taken."""
    for number in range(3):
        (tmp_path / f"run_{number:04d}.tif").write_bytes(camserver_bytes(ramp(number), stamp_of(number)))
    rows = "".join(f"run_{number:04d}.tif,,{100 + number}\n" for number in range(3))
    (tmp_path / "run.log").write_text("file,time,monitor\n" + rows)
    data = open_measurement(tmp_path, tz="UTC", time="frame")
    assert data.monitor.values.tolist() == [100, 101, 102]
    assert "later" not in data.attrs["log_join"]
    assert "earlier" not in data.attrs["log_join"]


@pytest.mark.parametrize("own", [0, 1, 2])
def test_of_scans_of_one_length_that_of_the_frames_time_is_joined(tmp_path, own):
    """Names without a scan say nothing of it, and a log begins with scan 1; the clock of all agrees."""
    epoch = np.datetime64("2019-10-04T05:00:00", "s")
    stamps = [str(epoch + 3 * number).replace("-", ":").replace("T", " ") for number in range(9)]
    for number, stamp in enumerate(stamps):
        tifffile.imwrite(tmp_path / f"run_{number:04d}.tif", ramp(number), datetime=stamp, metadata=None)
    begin = int(epoch.astype("int64"))
    text = f"#F run\n#E {begin}\n"
    for scan in range(3):
        late = 5000 * (scan - own)
        points = "".join(f"{late + 3 * k} {100 * (scan + 1) + k}\n" for k in range(9))
        text += f"\n#S {scan + 1} timescan\n#N 2\n#L Epoch  Monitor\n{points}"
    (tmp_path / "run.log").write_text(text)
    data = open_measurement(tmp_path, tz="UTC", instrument="spring8-bl11xu")
    assert data.monitor.values.tolist() == [100 * (own + 1) + k for k in range(9)]


def test_a_clock_that_is_wrong_all_the_time_hides_no_point(tmp_path):
    """Where no scan of the log is at the time of the frames, numbers tell as before, and the difference is said."""
    for number in range(9):
        stamp = f"2019:10:04 05:00:{3 * number:02d}"
        tifffile.imwrite(tmp_path / f"run_{number:04d}.tif", ramp(number), datetime=stamp, metadata=None)
    begin = int(np.datetime64("2019-10-04T05:00:00", "s").astype("int64")) - 7200
    scans = (
        f"\n#S {scan} timescan\n#N 2\n#L Epoch  Monitor\n"
        + "".join(f"{900 * (scan - 1) + 3 * k} {100 * scan + k}\n" for k in range(9))
        for scan in (1, 2)
    )
    (tmp_path / "run.log").write_text(f"#F run\n#E {begin}\n" + "".join(scans))
    data = open_measurement(tmp_path, tz="UTC", instrument="spring8-bl11xu")
    assert data.monitor.values.tolist() == [100 + k for k in range(9)]
    assert "7200 s earlier" in data.attrs["log_join"]


START = 1_401_296_400_000_000


def keys_of(seconds, **more):
    """Frames of one scan at these seconds."""
    names, number = [f"run_{n:04d}.tif" for n in range(len(seconds))], np.arange(len(seconds))
    utc = START + (np.array(seconds) * 1e6).astype("int64")
    return FrameKeys(names, np.ones(len(seconds), dtype="int64"), number, utc, "UTC", **more)


def joined_with(tmp_path, rows, keys):
    (tmp_path / "ring.csv").write_text(
        "epoch,current\n" + "".join(f"{START / 1e6 + at:.3f},{value}\n" for at, value in rows)
    )
    found, said = join_logs([str(tmp_path / "ring.csv")], keys, load_instrument("generic"))
    return found["current"].values, said


@pytest.mark.parametrize(("apart", "said"), [(59, ""), (60, "60 s later"), (-60, "60 s earlier"), (-59, "")])
def test_clocks_that_are_a_minute_apart_are_said_to_be(tmp_path, apart, said):
    found, text = joined_with(tmp_path, [(apart + n, n) for n in range(5)], keys_of(range(5)))
    assert found.tolist() == [0, 1, 2, 3, 4]
    assert text == "ring.csv: by point" + (f"; the points are {said} than the frames" if said else "")


def test_the_nearest_point_is_taken_within_one_and_a_half_steps_of_the_log(tmp_path):
    """Points at 0, 4 and 8 s; 6 s are a step and a half. Between two, the one behind is as near as that before."""
    found, _ = joined_with(tmp_path, [(0, 10), (4, 11), (8, 12)], keys_of([-6.0, -1.0, 1.9, 2.0, 5.9, 7.0, 14.0, 14.1]))
    np.testing.assert_array_equal(found, [10, 10, 10, 11, 11, 12, 12, np.nan])
    found, _ = joined_with(
        tmp_path, [(0, 10), (4, 11), (8, 12)], keys_of([-1.5, -1.4, 2.6, 9.5], last=True, tolerance=1.5)
    )
    np.testing.assert_array_equal(found, [10, 10, 11, 12])
    found, _ = joined_with(tmp_path, [(0, 10), (4, 11), (8, 12)], keys_of([-1.6, 1.6, 8.0, 9.6], tolerance=1.5))
    np.testing.assert_array_equal(found, [np.nan, np.nan, 12, np.nan])


def test_points_of_a_quick_log_are_joined_within_a_second_and_a_half(tmp_path):
    found, _ = joined_with(tmp_path, [(n / 10, n) for n in range(5)], keys_of([0.0, 0.4, 1.9, 1.91]))
    np.testing.assert_array_equal(found, [0, 4, 4, np.nan])


def test_two_scans_of_a_log_and_names_without_one(tmp_path):
    """Names without a number of a scan count as scan 1; where the times say scan 2, the points are those of scan 2."""
    text = "#F m\n#E 1401296400\n" + "".join(
        f"\n#S {scan} timescan\n#N 2\n#L Epoch  Monitor\n" + "".join(f"{at + n} {value + n}\n" for n in range(4))
        for scan, at, value in ((1, -3000, 100), (2, 0, 200))
    )
    (tmp_path / "m.log").write_text(text)
    table = load_instrument("generic")
    found, said = join_logs([str(tmp_path / "m.log")], keys_of(range(4)), table)
    assert found["Monitor"].values.tolist() == [200, 201, 202, 203]
    assert said == "m.log: by time"
    nowhere = replace(keys_of(range(4)), microseconds=None)
    found, said = join_logs([str(tmp_path / "m.log")], nowhere, table)
    assert found["Monitor"].values.tolist() == [100, 101, 102, 103]
    assert said == "m.log: by point"


def test_numbers_that_are_missing_among_the_frames_are_points_that_are_left_out(tmp_path):
    (tmp_path / "m.csv").write_text("current,note\n" + "".join(f"{300 + n},a\n" for n in range(6)))
    number = np.array([10, 11, 14, 15])
    keys = FrameKeys([f"run_{n}.tif" for n in number], np.ones(4, dtype="int64"), number, None, "UTC")
    found, _ = join_logs([str(tmp_path / "m.csv")], keys, load_instrument("generic"))
    assert found["current"].values.tolist() == [300, 301, 304, 305]
    four = replace(keys, frame=np.array([0, 7, 8, 9]))
    with pytest.raises(DocumentError, match="no scan of the log"):
        join_logs([str(tmp_path / "m.csv")], four, load_instrument("generic"))


def test_of_points_that_no_frame_has_nobody_says_how_far_they_are(tmp_path):
    """Nor does the mean of nothing warn."""
    (tmp_path / "ring.csv").write_text(f"epoch,current\n{START / 1e6},1\n{START / 1e6 + 1},2\n")
    (table,) = read_log(tmp_path / "ring.csv")
    keys = keys_of([0.0, 3.0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert _apart(Joined(table, np.array([-1, -1]), "by time"), keys) is None
        assert _apart(Joined(table, np.array([-1, 1]), "by time"), keys) == -2
        assert _apart(Joined(table, np.array([0, 1]), "by time"), replace(keys, microseconds=None)) is None


def test_as_many_points_as_frames_belong_to_them_one_by_one_though_a_number_is_missing(tmp_path):
    (tmp_path / "ring.csv").write_text("current,note\n300,a\n301,a\n302,a\n")
    keys = FrameKeys(["r_0.tif", "r_1.tif", "r_3.tif"], np.ones(3, "int64"), np.array([0, 1, 3]), None, "UTC")
    joined, _ = join_logs([str(tmp_path / "ring.csv")], keys, load_instrument("generic"))
    assert joined["current"].values.tolist() == [300, 301, 302]


def test_points_near_their_frames_in_time_stay_theirs_though_another_scan_is_as_near(tmp_path):
    """Each point comes 0.6 s after its frame; the nearest in time is that of the frame before."""
    scan = "#S {}  timescan 1 0\n#N 2\n#L Epoch  mon\n{}\n"
    lines = ["".join(f"{1_401_296_400.6 + n} {first + n}\n" for n in range(5)) for first in (100, 900)]
    path = tmp_path / "a.log"
    path.write_text("#F a\n#E 0\n\n" + "".join(scan.format(1 + k, text) for k, text in enumerate(lines)))
    moments = (1_401_296_400 + np.arange(5)) * 1_000_000
    keys = FrameKeys([f"r_{n}.tif" for n in range(5)], np.ones(5, "int64"), np.arange(5), moments, "UTC")
    joined, said = join_logs([str(path)], keys, load_instrument("generic"))
    assert joined["mon"].values.tolist() == [100, 101, 102, 103, 104]
    assert said.startswith("a.log: by point")


def test_a_frame_is_that_of_its_name_though_it_is_the_first_point(tmp_path):
    (tmp_path / "names.csv").write_text("file,mon\nr_7.tif,11\nr_8.tif,12\n")
    keys = FrameKeys(["r_7.tif"], np.ones(1, "int64"), np.array([7]), None, "UTC")
    joined, said = join_logs([str(tmp_path / "names.csv")], keys, load_instrument("generic"))
    assert (joined["mon"].values.tolist(), said) == ([11], "names.csv: by name")


@pytest.mark.parametrize(("late", "missing", "found", "unsure"), [
    (0.1, {3}, [0, 1, 2, 2, 4, 5, 6, 7], 1),
    (0.1, {7}, [0, 1, 2, 3, 4, 5, 6, 6], 1),
    (-0.1, {0, 3, 4}, [1, 1, 2, 2, 5, 5, 6, 7], 3),
    (0.6, {3}, [0, 0, 1, 2, 4, 4, 5, 6], 8),
])  # fmt: skip
def test_a_log_that_lacks_whole_lines_is_said_to_give_points_of_frames_beside(tmp_path, late, missing, found, unsure):
    """Each had a point; where it comes half a step or more after its frame all go to the next one."""
    rows = [(n + late, n) for n in range(8) if n not in missing]
    with pytest.warns(XinsituWarning, match=MISSING.format(unsure, 8)):
        values, _ = joined_with(tmp_path, rows, keys_of(range(8)))
    assert values.tolist() == found
    joined_with(tmp_path, rows, keys_of(range(8), last=True))  # a log that is being written is behind


def test_a_gap_is_no_point_of_the_frame_beside(tmp_path):
    """With a tolerance of half a step a frame whose line is missing has none, and nobody is warned."""
    values, _ = joined_with(tmp_path, [(n + 0.1, n) for n in (0, 1, 3)], keys_of(range(4), tolerance=0.5))
    np.testing.assert_array_equal(values, [0, 1, np.nan, 3])


@pytest.mark.parametrize("step", [0.8, 1.25, 3.0])
def test_a_log_at_a_pace_of_its_own_lacks_no_line(tmp_path, step):
    """That of a storage ring; and one that was there before the frames has a point for each of them at their pace."""
    joined_with(tmp_path, [(step * n, n) for n in range(7)], keys_of(range(8)))
    joined_with(tmp_path, [(n + 0.4, n) for n in range(-2, 20)], keys_of(range(8)))
    joined_with(tmp_path, [(step / 4 * n, n) for n in range(40)], keys_of(range(8)))


MORE = (
    "{} points for {} frames: frames are missing, or the log went on without them; "
    "joined by time, each frame has the nearest point{} "
)
BESIDE = ", which may be that of the frame beside"


@pytest.mark.parametrize(("points", "frames", "late", "found", "beside"), [
    (range(9), range(8), 0.1, range(8), ""),  # it ran on
    (range(20), range(8), 0.4, range(8), BESIDE),
    (range(20), range(8), 0.2, range(8), ""),
    (range(16), range(0, 16, 2), 0.1, range(0, 16, 2), ""),  # every second point has no frame
    (range(16), range(0, 16, 2), 0.6, [0, *range(1, 14, 2)], BESIDE),
    (range(9), [0, 1, 2, 3, 5, 6, 7, 8], 0.1, [0, 1, 2, 3, 5, 6, 7, 8], ""),  # the detector missed one
    (range(9), [0, 1, 2, 3, 5, 6, 7, 8], 0.7, [0, 0, 1, 2, 4, 5, 6, 7], BESIDE),
])  # fmt: skip
def test_points_without_frames_are_said_once(tmp_path, points, frames, late, found, beside):
    """The log begins with the frames; their numbers go on as if none was missing, so that a count would be off."""
    rows = [(at + late, at) for at in points]
    with pytest.warns(XinsituWarning, match=MORE.format(len(points), len(frames), beside)) as told:
        values, _ = joined_with(tmp_path, rows, keys_of(frames))
    assert (values.tolist(), len(told)) == (list(found), 1)
    joined_with(tmp_path, rows, keys_of(frames, last=True))
    joined_with(tmp_path, rows, keys_of(frames, growing=True))


@pytest.mark.parametrize("number", [1, 2])
def test_points_of_a_scan_before_its_frames_are_said(tmp_path, number):
    """It began three points before them; names without a number of a scan count as scan 1."""
    rows = "".join(f"{START / 1e6 + at:.1f} {at}\n" for at in range(-3, 8))
    (tmp_path / "m.log").write_text(f"#S {number} timescan\n#N 2\n#L Epoch  Monitor\n{rows}")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found, _ = join_logs([str(tmp_path / "m.log")], keys_of(range(8)), load_instrument("generic"))
    assert found["Monitor"].values.tolist() == list(range(8))
    assert [MORE.format(11, 8, "")[:-1] in str(one.message) for one in said] == [True]


@pytest.mark.parametrize("swapped", [1, 2])
@pytest.mark.parametrize("first", [0, -2])
def test_lines_that_are_swapped_are_said(tmp_path, first, swapped):
    """Points that are counted are taken in the order of their lines, in time in that of their times."""
    rows = [(n, n) for n in range(first, 6)]
    found = list(range(6))
    for at in (1 - first, 3 - first)[:swapped]:
        rows[at], rows[at + 1] = rows[at + 1], rows[at]
        if not first:
            found[at], found[at + 1] = found[at + 1], found[at]
    often = "once" if swapped == 1 else "2 times"
    with pytest.warns(XinsituWarning, match=rf"ring\.csv: the times of its points go back {often}: lines were swapped"):
        values, _ = joined_with(tmp_path, rows, keys_of(range(6)))
    assert values.tolist() == found


def test_the_order_of_lines_is_nothing_to_names_nor_times_that_are_no_moments(tmp_path):
    (tmp_path / "m.csv").write_text("file,epoch,mon\nrun_0001.tif,1401296402,5\nrun_0000.tif,1401296401,4\n")
    found, _ = join_logs([str(tmp_path / "m.csv")], keys_of(range(2)), load_instrument("generic"))
    assert found["mon"].values.tolist() == [4, 5]
    (tmp_path / "m.csv").write_text("time,mon\n1.001,4\n0.999,5\n")  # how long each took
    found, _ = join_logs([str(tmp_path / "m.csv")], keys_of(range(2)), load_instrument("generic"))
    assert found["mon"].values.tolist() == [4, 5]


def test_a_command_says_it(tmp_path, capsys):
    write_frames(tmp_path / "m", 7, exposure=0)
    rows = [f"{second} {second} {100 + second}" for second in range(7) if second != 4]
    (tmp_path / "m" / "m.log").write_text("#S 1\n#E 1401296400\n#L Time  Epoch  Monitor\n" + "\n".join(rows) + "\n")
    words = ["--tz", "UTC", "--instrument", "generic", "-o", str(tmp_path / "m.nc")]
    assert main(["parse", str(tmp_path / "m"), *words]) == 0
    told = " ".join(capsys.readouterr().err.split())
    assert (
        "joined by time, 1 of 7 frames may have the point of the frame beside (xinsitu explain log-lines-missing)"
        in told
    )


def test_points_of_one_second_are_in_order(tmp_path):
    """As quick logs of whole seconds have them."""
    found, said = joined_with(tmp_path, [(n // 3, n) for n in range(9)], keys_of(np.arange(9) / 3))
    assert (found.tolist(), said) == (list(range(9)), "ring.csv: by point")


@pytest.mark.parametrize("frames", [2, 3, 4, 5])
@pytest.mark.parametrize("first", range(6))
def test_names_of_these_frames_and_of_others_are_told_apart_by_half_of_them(tmp_path, frames, first):
    """Written in other figures they are nobody's names, but say whether the points are these frames' at all."""
    rows = "".join(f"run_{number}.tif,{100 + number}\n" for number in range(first, first + frames))
    (tmp_path / "m.csv").write_text("file,mon\n" + rows)
    keys = keys_of(range(frames))
    if 2 * max(frames - first, 0) >= frames:
        found, said = join_logs([str(tmp_path / "m.csv")], keys, load_instrument("generic"))
        assert (found["mon"].values.tolist(), said) == (
            list(range(100 + first, 100 + first + frames)),
            "m.csv: by point",
        )
    elif first < frames:
        with pytest.raises(DocumentError, match="no scan of the log"):
            join_logs([str(tmp_path / "m.csv")], keys, load_instrument("generic"))


@pytest.mark.parametrize(("off", "own"), [(-61, False), (-60, False), (-59, True), (0, True), (59, True), (60, False)])
def test_points_a_minute_off_are_another_scans_where_that_is_nearer(tmp_path, off, own):
    """Two scans of as many points; the one of the frames' number is taken if it is within a minute of them."""
    begin = START // 1_000_000
    scans = ["#S 1 t\n#N 2\n#L Epoch  mon\n" + "".join(f"{begin + off + n} {100 + n}\n" for n in range(9))]
    scans += ["#S 2 t\n#N 2\n#L Epoch  mon\n" + "".join(f"{begin + n} {200 + n}\n" for n in range(9))]
    (tmp_path / "m.log").write_text("#F m\n#E 0\n\n" + "".join(scans))
    found, _ = join_logs([str(tmp_path / "m.log")], keys_of(range(9)), load_instrument("generic"))
    assert found["mon"].values.tolist() == [(100 if own else 200) + n for n in range(9)]
