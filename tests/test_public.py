"""Every public name has types, a docstring in the house's form, and works as ``xinsitu.<name>``."""

from __future__ import annotations

import inspect
import re

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
    import numpy as np

    frames = xr.DataArray(np.ones((2, 8, 9), "int32"), dims=("time", "y", "x"), attrs={"units": "counts"}, name="image")
    scan = frames.to_dataset().assign_coords(time=np.array(["2014-05-28", "2014-05-29"], "datetime64[ns]"))
    roi = xinsitu.Roi("WZ", y=(1, 5), x=(2, 7))
    assert type(scan.insitu.plot_rois([roi])) is type(xinsitu.plot_rois(scan, [roi]))
    assert type(scan.insitu.plot_frames()) is type(xinsitu.plot_frames(scan))
    assert type(scan.insitu.plot_kymograph(roi)) is type(xinsitu.plot_kymograph(scan, roi))


def test_accessor_methods_are_one_line() -> None:
    import ast
    from pathlib import Path

    source = Path(xinsitu.__file__ or "").with_name("accessor.py").read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef) and node.name != "__init__":
            body = [
                line for line in node.body if not (isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant))
            ]
            body = [line for line in body if not isinstance(line, ast.ImportFrom)]
            assert len(body) == 1, f"{node.name} is more than one line"
