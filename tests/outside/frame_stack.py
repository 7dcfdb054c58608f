"""xarray's own backend tests, run on FrameStack: every numeric variable is written as a folder of frames.

Not collected with our tests (xarray's module needs markers and fixtures of its own); ``test_outside.py`` runs it, or:
``python -m pytest -c /dev/null -p xarray.tests.conftest tests/outside/frame_stack.py``.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import warnings

import numpy as np
import pytest
import tifffile
import xarray as xr
from xarray.backends import BackendEntrypoint

from xinsitu.io.discover import group
from xinsitu.io.gather import gather
from xinsitu.io.lazy_frames import lazily

backends = pytest.importorskip("xarray.tests.test_backends")

STORED: dict[str, xr.Dataset] = {}


def write_variable(folder: str, values: np.ndarray) -> None:
    """Frames of a variable: its first dimension counts them, the others are rows and columns."""
    os.makedirs(folder)
    frames = np.atleast_1d(values).reshape(len(np.atleast_1d(values)), -1)
    for number, frame in enumerate(frames):
        pixels = frame[np.newaxis].astype("u1") if frame.dtype == bool else frame[np.newaxis]
        tifffile.imwrite(os.path.join(folder, f"v_{number}.tif"), pixels, metadata=None)


def is_stack(variable: xr.Variable) -> bool:
    return variable.dtype.kind in "iuf" and variable.size > 0 and variable.ndim in (1, 2, 3)


def lazy(folder: str, variable: xr.Variable) -> xr.Variable:
    """The variable again, lazily from its frames; 1-D and 2-D ones through dimensions of length one."""
    (series,), _ = group(os.listdir(folder))
    stack = gather(folder, series.files).stack
    whole = xr.Variable(("frame_", "row_", "column_"), lazily(stack))
    if variable.ndim == 1:
        return xr.Variable(variable.dims, whole[:, 0, 0]._data, variable.attrs)
    if variable.ndim == 2:
        return xr.Variable(variable.dims, whole[:, 0, :]._data, variable.attrs)
    return xr.Variable(variable.dims, whole._data, variable.attrs)


class Harness(BackendEntrypoint):
    def open_dataset(self, filename_or_obj, *, drop_variables=None):
        stored = STORED[str(filename_or_obj)]
        variables = {
            name: lazy(os.path.join(str(filename_or_obj), str(name)), variable)
            if is_stack(variable)
            else variable.copy()
            for name, variable in stored.variables.items()
        }
        coords = {name: variables.pop(name) for name in list(stored.coords)}
        return xr.Dataset(variables, coords, stored.attrs)


class TestFrameStack(backends.DatasetIOBase):
    @contextlib.contextmanager
    def roundtrip(self, data, save_kwargs=None, open_kwargs=None, allow_cleanup_failure=False):
        with tempfile.TemporaryDirectory() as folder:
            for name, variable in data.variables.items():
                if not is_stack(variable):
                    continue
                values = variable.values
                place = os.path.join(folder, str(name))
                if variable.ndim == 3:
                    os.makedirs(place)
                    for number, frame in enumerate(values):
                        tifffile.imwrite(os.path.join(place, f"v_{number}.tif"), frame, metadata=None)
                else:
                    write_variable(place, values)
            STORED[folder] = data
            with warnings.catch_warnings(), xr.open_dataset(folder, engine=Harness, **(open_kwargs or {})) as dataset:
                yield dataset


ENCODED = "how times, texts and coordinates are encoded is a matter of netCDF files"
NOT_OURS = {
    "test_write_store": "frames are never written",
    "test_load_async": "there is no asynchronous reading",
    "test_roundtrip_string_encoded_characters": ENCODED,
    "test_roundtrip_numpy_datetime_data": ENCODED,
    "test_roundtrip_cftime_datetime_data": ENCODED,
    "test_roundtrip_timedelta_data": ENCODED,
    "test_roundtrip_coordinates": ENCODED,
    "test_roundtrip_coordinates_with_space": ENCODED,
}
for name, why in NOT_OURS.items():
    assert hasattr(TestFrameStack, name), f"xarray has renamed {name}"
    setattr(TestFrameStack, name, pytest.mark.skip(reason=why)(lambda self: None))
