"""Every public name, called with what it cannot take, says so in one sentence of ours; new names come by themselves."""

from __future__ import annotations

import inspect
import itertools
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import pytest
import xarray as xr

import xinsitu as xi
from xinsitu.errors import XinsituError
from xinsitu.signatures import fits, found, in_words

FUNCTIONS = [name for name in xi.__all__ if inspect.isfunction(getattr(xi, name))]
VALUES = [
    name
    for name in xi.__all__
    if inspect.isclass(getattr(xi, name)) and not issubclass(getattr(xi, name), BaseException)
]
TIME = np.datetime64("2019-03-02T04:00:00", "ns") + np.arange(30) * np.timedelta64(1, "s")
EMPTY = inspect.Parameter.empty
_ENDED = threading.Event()
_ENDED.set()


class Thing:
    """Nothing that anybody wants."""


def _frames() -> xr.Dataset:
    counts = np.random.default_rng(3).poisson(40, (30, 24, 31)).astype("int32")
    coords = {"time": TIME, "y": np.arange(24), "x": np.arange(31), "frame": ("time", np.arange(30))}
    image = xr.DataArray(counts, coords, ("time", "y", "x"), attrs={"units": "counts"})
    return image.to_dataset(name="image").assign_coords(sample="0901", measurement="time1")


@pytest.fixture(scope="module")
def good(experiment: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What every parameter may be: by its name, or by function and name."""
    folder, scan = tmp_path_factory.mktemp("good"), _frames()
    rois = xi.RoiSet([xi.Roi("A", y=(3, 12), x=(4, 15)), xi.Roi("B", y=(12, 20), x=(14, 27))])
    sample = xi.stitch([xi.measure(scan, rois).load()])
    change = xi.AttenuationChange(TIME[9], TIME[10], factor=2.0)
    event, profile = (
        xi.Event("open", TIME[4], TIME[20]),
        xi.profiles(scan, xi.Roi("W", (3, 12), (0, 31)), along="x").load(),
    )
    calibration = xr.DataArray(np.arange(31.0), {"x": np.arange(31)}, "x", "l", {"units": "r.l.u."})
    geometry = xi.DetectorGeometry(0.5, 1e-10, (12.0, 15.0), (172e-6, 172e-6))
    angstrom, one = {"units": "1/angstrom"}, sample.intensity.isel(roi=0)
    xi.write_rois(rois, folder / "r.json")
    xi.write_events([event], folder / "e.json")
    xi.write_attenuation_changes([change], folder / "c.json")
    xi.write_results(sample, folder / "s.nc")
    np.savetxt(folder / "l.txt", np.arange(487.0))
    np.save(folder / "m.npy", np.zeros((195, 487), "uint8"))
    (folder / "log.csv").write_text("time,shutter,state\n2019-03-02 04:00:00,In,open\n2019-03-02 04:00:09,In,closed\n")
    lines = 'Detector_config: {"pixel1": 1e-4, "pixel2": 1e-4}', "Distance: 0.3", "Poni1: 0.02", "Poni2: 0.05"
    (folder / "g.poni").write_text("\n".join((*lines, "Wavelength: 1e-10")))
    scans = experiment.folders
    by_name = {
        "sample": sample,
        "series": sample,
        "changes": [change],
        "coordinate": "com_x",
        "image": scan.image,
        "data": scan,
        "region": xi.Background(y=(0, 3), x=(0, 5)),
        "start": event,
        "pixels": {"x": calibration},
        "profile": profile,
        "samples": [sample, sample.assign_coords(sample="0902")],
        "correction": xi.Correction(median=3),
        "time": 2,
        "dim": "x",
        "law": "linear",
        "rois": rois,
        "form": "rois",
        "flat": xr.ones_like(scan.image[0], dtype=float),
        "window": (None, None),
        "onsets": xi.find_onsets(sample),
        "numerator": "A",
        "denominator": "B",
        "name": "l",
        "values": calibration,
        "key": event.start,
        "geometry": geometry,
        "frames": 30,
        "events": [event],
        "width": xr.DataArray([0.1], dims="time", attrs=angstrom),
        "found": xi.two_time(scan, rois["A"]),
        "measurement": scan,
        "results": sample,
        "roi": rois["A"],
        "peaks": xr.DataArray([[1.0, 1.1, 1.2]], dims=("time", "peak"), attrs=angstrom),
    }
    by_both = {
        "read_rois.path": folder / "r.json",
        "read_events.path": folder / "e.json",
        "read_results.path": folder / "s.nc",
        "read_attenuation_changes.path": folder / "c.json",
        "read_calibration.path": folder / "l.txt",
        "read_geometry.path": folder / "g.poni",
        "read_mask.path": folder / "m.npy",
        "read_events_log.path": folder / "log.csv",
        "open_measurement.path": scans["time1"],
        "open_sample.path": scans["sample"],
        "open_flatfield.path": scans["flatfield"],
        "open_image.path": scans["flatfield"],
        "watch.path": scans["time1"],
        "flag_bad_frames.frames": ["time1:3"],
        "fraction.rois": ["A", "B"],
        "line_cut.start": (1, 1),
        "line_cut.stop": (9, 9),
        "smooth.window": 5,
        "calibrate_profile.pixels": calibration,
        "append_measurements.series": sample.isel(time=slice(0, 5)).assign_coords(
            measurement=("time", ["t9"] * 5), time=TIME[:5] + np.timedelta64(1, "D")
        ),
        "plot_comparison.series": xi.compare([sample, sample.assign_coords(sample="0902")]).series,
        "epoch_seconds.time": TIME,
        "radial_profiles.bins": 20,
        "roi_in_q.q": (0.1, 0.2),
    }
    single = ("slope", "smooth", "derivative", "smoothing_spline", "oscillation_period", "fit_growth")
    return by_name | by_both | {f"{name}.{word}": one for name in single for word in ("series", "data")}


FURTHER: dict[str, dict[str, Any]] = {
    "find_ridges": {"peaks": 1},
    "radial_profiles": {"bins": 20},
    "watch": {"until_idle": 0.01, "stop": _ENDED},
    "simulate_sample": {"measurements": 1, "frames": 20, "counts": 1e3},
}
"""Arguments without which a call takes long."""
ENDINGS = {
    "write_csv": ".csv",
    "write_results": ".nc",
    "write_frames": ".nc",
    "save_plot": ".svg",
    "plot_comparison": ".svg",
}


def wrong(good: dict[str, Any]) -> dict[str, Any]:
    sample = good["sample"]
    return {
        "a number": 7,
        "a fraction": 0.3,
        "nan": float("nan"),
        "None": None,
        "a word": "word",
        "nothing": "",
        "bytes": b"ab",
        "a dict": {"a": 1},
        "an empty dict": {},
        "a list": [Thing(), 3],
        "an empty list": [],
        "a thing": Thing(),
        "a path": Path("nowhere/x"),
        "an array": np.ones((2, 3)),
        "other dims": xr.DataArray(np.ones((2, 3)), dims=("a", "b")),
        "a scalar": xr.DataArray(1.0),
        "another Dataset": xr.Dataset({"z": ("a", [1.0, 2.0])}),
        "no Dataset": xr.Dataset(),
        "a tree": xr.DataTree(),
        "no frame": good["image"].isel(time=slice(0, 0)),
        "no time": sample.isel(time=slice(0, 0)),
        "no roi": sample.isel(roi=slice(0, 0)),
    }


SLOW = {"a number", "a word", "a dict", "an array", "other dims", "another Dataset", "a thing", "no roi"}
"""What figures and files are tried with: each that is drawn in spite of a wrong word takes a second."""


def calls(name: str, good: dict[str, Any], folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Arguments of which one is wrong, all are wrong, or two are exchanged; the first ones are right."""
    parameters = inspect.signature(getattr(xi, name)).parameters.values()
    plain = [one for one in parameters if one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL)]
    needed = [one.name for one in plain if one.default is EMPTY]
    numbers = itertools.count()

    def right() -> dict[str, Any]:
        new = folder / f"{next(numbers)}{ENDINGS.get(name, '.json')}"
        known = {"path": new, "folder": new.with_suffix("")} | good
        return {word: known.get(f"{name}.{word}", known.get(word, EMPTY)) for word in needed} | FURTHER.get(name, {})

    yield "right", right()
    slow = name.startswith(("plot", "save_plot", "waterfall", "simulate", "watch", "open"))
    for what, value in wrong(good).items():
        yield f"all: {what}", dict.fromkeys(needed, value) | FURTHER.get(name, {})
        for one in plain if not slow or what in SLOW else ():
            if (name, one.name) not in (("watch", "until_idle"), ("watch", "stop")):  # it would wait
                yield f"{one.name}: {what}", right() | {one.name: value}
    if len(needed) > 1:
        both = right()
        yield "exchanged", both | {needed[0]: both[needed[1]], needed[1]: both[needed[0]]}


@pytest.mark.thorough("read_events")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_a_function_cannot_take(
    name: str, good: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    function, faults = getattr(xi, name), []
    switches = {one.name for one in inspect.signature(function).parameters.values() if one.annotation == "bool"}
    for what, words in calls(name, good, tmp_path):
        unknown = [word for word, value in words.items() if value is EMPTY]
        assert not unknown, f"say in `good` what {unknown} of {name} may be"
        try:
            function(**words)
        except XinsituError as error:
            if what == "right" and name not in NOT_WITH_THESE:
                faults.append(f"{what}: {error}")
            if "\n" in str(error) or not str(error):
                faults.append(f"{what}: {str(error)!r} is no sentence")
        except Exception as error:  # noqa: BLE001 - which is what is looked for
            faults.append(f"{what}: {type(error).__name__}: {error}")
        else:
            if what in {f"{switch}: {value}" for switch in switches for value in ("a word", "a dict", "an array")}:
                faults.append(f"{what} is taken")
    assert not faults, "\n".join(faults)


NOT_WITH_THESE = {
    "attenuation_from_overlap",
    "undo_attenuation",
    "roi_in_q",
    "simulate_frames",
    "calibrate",
    "read_calibration",
    "read_events_log",
}
"""Functions that have something to say of what is good for the others."""


@pytest.mark.parametrize("name", VALUES)
def test_what_a_value_cannot_be_made_of(name: str, good: dict[str, Any]) -> None:
    kind = getattr(xi, name)
    parameters = [one for one in inspect.signature(kind).parameters.values() if one.kind is one.POSITIONAL_OR_KEYWORD]
    needed = [one.name for one in parameters if one.default is EMPTY]
    for what, value in wrong(good).items():
        for words in [
            dict.fromkeys(needed, value),
            *(dict.fromkeys(needed, 1) | {one.name: value} for one in parameters),
        ]:
            try:
                kind(**words)
            except XinsituError as error:
                said = str(error)
            else:
                said = ""
            assert "\n" not in said, (what, words)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_missing_and_an_unknown_argument_are_python_s(name: str) -> None:
    with pytest.raises(TypeError, match="argument"):
        getattr(xi, name)(no_such_word=1)


def test_what_happened_is_kept_behind_the_sentence() -> None:
    with pytest.raises(xi.SchemaError, match=r"stitch: series is a Dataset, .* not 3$") as caught:
        xi.stitch(3)  # type: ignore[arg-type]
    assert isinstance(caught.value.__cause__, TypeError)


def test_nothing_is_written_where_a_word_is_wrong(good: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(xi.SchemaError, match="overwrite is True or False, not 'yes'"):
        xi.write_csv(good["sample"], tmp_path / "a.csv", overwrite="yes")  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_a_fault_of_our_own_is_not_said_to_be_the_user_s(good: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("ours")

    monkeypatch.setattr("xinsitu.physics.samples.joining.aligned", broken)
    with pytest.raises(RuntimeError, match="ours"):
        xi.stitch([good["sample"]])


def test_public_functions_travel() -> None:
    for name in FUNCTIONS:
        assert pickle.loads(pickle.dumps(getattr(xi, name))) is getattr(xi, name)


@pytest.mark.parametrize(
    ("value", "hint", "does"),
    [
        ([3, 9], tuple[int, int], True),
        (np.array([3, 9]), tuple[int, int], True),
        ((3, 9, 4), tuple[int, int], False),
        (np.float32(2), float, True),
        (np.int64(2), int, True),
        (2.5, int, False),
        (np.array(2.5), float, True),
        (xr.DataArray(2.5), float, False),
        (np.array(["A", "B"]), str | list[str], True),
        (xr.DataArray(["A", "B"], dims="roi"), list[str], True),
        ("A", list[str], False),
        (True, bool, True),
        (np.True_, bool, True),
        (1, bool, True),
        (7, bool, False),
        ("z", Literal["y", "x"], True),  # which of them, a function says itself
        (3, Literal["y", "x"], False),
        (xr.Dataset(), dict[str, Any], False),
        ({"a": 1}, dict[str, float], True),
        (SimpleNamespace(), Any, True),
    ],
)
def test_what_fits(value: object, hint: object, does: bool) -> None:
    assert fits(value, hint) is does


def test_words() -> None:
    assert in_words(list[str] | None) == "a list, each of it a text or None"
    assert in_words(dict[str, xr.DataArray]) == "a dict of names, each with a DataArray"
    assert found(xr.DataArray(np.ones((1, 2)), dims=("a", "b"))) == "a DataArray with dims (a, b)"
    assert found("x" * 99).endswith("...'")
