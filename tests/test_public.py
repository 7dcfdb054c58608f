"""Every public name has types, a docstring in the house's form, and works as ``xinsitu.<name>``."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

import xinsitu

FUNCTIONS = [name for name in xinsitu.__all__ if inspect.isfunction(getattr(xinsitu, name))]
CLASSES = [name for name in xinsitu.__all__ if inspect.isclass(getattr(xinsitu, name))]


def test_the_names_of_the_contract_are_there() -> None:
    reading = {"open_measurement", "open_flatfield", "open_sample", "read_rois", "write_rois", "read_results"}
    correcting = {"median", "flatfield", "background", "crop", "correct", "Correction", "Background"}
    measuring = {"Roi", "RoiSet", "measure", "stitch", "write_results", "to_dataframe", "plot", "simulate_sample"}
    attenuation = {"AttenuationChange", "find_attenuation_changes", "correct_attenuation", "undo_attenuation", "Event"}
    names = reading | correcting | measuring | attenuation
    assert names <= set(xinsitu.__all__)


@pytest.mark.parametrize("name", xinsitu.__all__)
def test_every_name_is_described(name: str) -> None:
    thing = getattr(xinsitu, name)
    if inspect.isfunction(thing) or inspect.isclass(thing):
        assert inspect.getdoc(thing), name


@pytest.mark.parametrize("name", [*FUNCTIONS, *CLASSES])
def test_every_name_has_an_example(name: str) -> None:
    text = inspect.getdoc(getattr(xinsitu, name)) or ""
    assert ">>> " in text
    assert "+SKIP" not in text  # it runs: src/conftest.py has the sample that examples name


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_have_types(name: str) -> None:
    function = getattr(xinsitu, name)
    signature = inspect.signature(function)
    untyped = [p.name for p in signature.parameters.values() if p.annotation is p.empty]
    assert not untyped
    assert signature.return_annotation is not signature.empty


@pytest.mark.parametrize("name", FUNCTIONS)
def test_docstrings_name_every_parameter(name: str) -> None:
    function = getattr(xinsitu, name)
    text = inspect.getdoc(function) or ""
    if "parameters are those of" in text.lower() or "Parameters" not in text:
        return
    described = text.split("Parameters\n", 1)[1].split("\nReturns\n")[0]
    missing = [p for p in inspect.signature(function).parameters if not re.search(rf"\b{p}\b", described)]
    assert not missing


@pytest.mark.parametrize("kind", [xr.Dataset, xr.DataArray, xr.DataTree])
def test_the_accessor_is_registered_by_import(kind: type) -> None:
    assert hasattr(kind, "insitu")


def test_accessor_shows_frames_as_the_functions_do() -> None:
    frames = xr.DataArray(np.ones((2, 8, 9), "int32"), dims=("time", "y", "x"), attrs={"units": "counts"}, name="image")
    scan = frames.to_dataset().assign_coords(time=np.array(["2014-05-28", "2014-05-29"], "datetime64[ns]"))
    roi = xinsitu.Roi("WZ", y=(1, 5), x=(2, 7))
    assert type(scan.insitu.plot_rois([roi])) is type(xinsitu.plot_rois(scan, [roi]))
    assert type(scan.insitu.plot_frames()) is type(xinsitu.plot_frames(scan))
    assert type(scan.insitu.plot_kymograph(roi)) is type(xinsitu.plot_kymograph(scan, roi))


def methods(data: xr.Dataset | xr.DataArray | xr.DataTree) -> list[str]:
    return [name for name in dir(data.insitu) if not name.startswith("_") and name != "epoch"]


FRAMES = xr.DataArray(np.ones((2, 8, 9), "int32"), dims=("time", "y", "x"), attrs={"units": "counts"}, name="image")
TIME = np.array(["1970-01-01T00:00:00", "1970-01-01T00:00:01"], dtype="datetime64[ns]")
SERIES = xr.Dataset({"intensity": (("time", "roi"), np.ones((2, 1)))}, {"time": TIME, "roi": ["WZ"]})


@pytest.mark.parametrize(
    "data",
    [FRAMES.to_dataset(), FRAMES, SERIES, SERIES.intensity, xr.DataTree(children={"time1": xr.DataTree(SERIES)})],
)
def test_a_method_is_the_function_with_the_data_first(data) -> None:
    """Completion, help and type checkers see the options of the function itself."""
    from xinsitu.app.serve import explore

    assert methods(data)
    for name in methods(data):
        function = explore if name == "explore" else getattr(xinsitu, name)
        method = getattr(data.insitu, name)
        wanted = list(inspect.signature(function).parameters)[1:]
        if isinstance(data, xr.DataTree) and name == "measure":  # of each measurement, and nothing that one alone has
            wanted = ["rois", "correction"]
        assert list(inspect.signature(method).parameters) == wanted, name
        assert inspect.getdoc(method), name


def test_the_accessor_shows_what_fits() -> None:
    assert "measure" in methods(FRAMES)
    assert "correct_attenuation" not in methods(FRAMES.to_dataset())
    assert "slope" not in methods(FRAMES)
    assert "plot" in methods(SERIES)
    assert "fit_rois" not in methods(SERIES)
    assert "slope" in methods(SERIES.intensity)
    assert SERIES.insitu.epoch.tolist() == [0.0, 1.0]


@pytest.mark.thorough
def test_the_accessor_loads_nothing_before_it_is_used() -> None:
    code = "import sys, xarray, xinsitu; xarray.Dataset().insitu; print([n for n in sys.modules if 'xinsitu.p' in n])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
