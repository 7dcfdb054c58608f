"""A default plot in every file, as NeXus says it: silx view, NeXpy and h5web show it when the file is opened.

``/entry`` (NXentry) holds NXdata groups: of frames one with links to them, of ROI time series one for each quantity
with a curve for each ROI and its errors. Nothing of ours is read back from there.
Format: https://manual.nexusformat.org/classes/base_classes/NXdata.html
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from typing import Any

import h5netcdf
import h5py
import numpy as np
import xarray as xr

from xinsitu.schema import CURVES, errors_name

from .conventions import file_units

ENTRY, FRAMES, ELAPSED = "entry", "frames", "elapsed"
MOST_CURVES = 100
"""ROIs of which a plot is made; of more nobody sees anything."""


def with_default_plot(content: bytes | memoryview, data: xr.Dataset, *, frames: bool = False) -> memoryview:
    """Return a netCDF file with its default plot; unchanged where there is nothing to plot, or ``entry`` is taken.

    Parameters
    ----------
    content
        The file, in memory.
    data
        What is in it, in memory.
    frames
        Whether ``image`` is, or will be, in it.
    """
    groups = [] if frames else [name for name in CURVES if set(data.get(name, xr.DataArray()).dims) == {"time", "roi"}]
    number = data.sizes.get("roi", 0)
    if "time" not in data.dims or ENTRY in data.variables or not (frames or (groups and 0 < number <= MOST_CURVES)):
        return memoryview(content)
    buffer = io.BytesIO(content)
    with h5netcdf.File(buffer, "a") as file:
        file.attrs.update({"NX_class": "NXroot", "default": ENTRY})
        entry = file.create_group(ENTRY)
        entry.attrs.update({"NX_class": "NXentry", "default": FRAMES if frames else groups[0], **_title(data)})
        if frames:
            _frames(entry.create_group(FRAMES), data)
        for name in groups:
            _curves(entry.create_group(name), data, name)
    return buffer.getbuffer()


def _title(data: xr.Dataset) -> dict[str, str]:
    parts = [
        str(data[name].values) for name in ("sample", "measurement") if name in data.coords and not data[name].dims
    ]
    return {"title": " ".join(parts)} if any(parts) else {}


def _frames(group: h5netcdf.Group, data: xr.Dataset) -> None:
    """Link to frames and pixels, which stand at the root of the file."""
    group.attrs.update({"NX_class": "NXdata", "signal": "image", "axes": _texts(ELAPSED, "y", "x")})
    _elapsed(group, data)
    for name in ("image", *(axis for axis in ("y", "x") if axis in data.coords)):
        group._h5group[name] = h5py.SoftLink(f"/{name}")


def _curves(group: h5netcdf.Group, data: xr.Dataset, name: str) -> None:
    """One curve for each ROI, the first one in front."""
    values = data[name].transpose("time", "roi")
    errors = data.get(errors_name(name))
    names = safe_names([str(roi) for roi in data["roi"].values])
    about: dict[str, Any] = {
        "NX_class": "NXdata", "signal": names[0], "axes": _texts(ELAPSED), "title": str(values.attrs["long_name"])
        if "long_name" in values.attrs else name,
    }  # fmt: skip
    group.attrs.update(about | ({"auxiliary_signals": _texts(*names[1:])} if names[1:] else {}))
    _elapsed(group, data)
    for number, (called, roi) in enumerate(zip(names, data["roi"].values, strict=True)):
        units = file_units(str(values.attrs.get("units", "1")))
        words = {"units": units, "long_name": f"{about['title']} of {roi} ({units})"}
        _variable(group, called, values.values[:, number], words)
        if errors is not None:
            _variable(group, errors_name(called), errors.transpose("time", "roi").values[:, number], {"units": units})


def _elapsed(group: h5netcdf.Group, data: xr.Dataset) -> None:
    time = np.asarray(data["time"].values) if "time" in data.coords else np.arange(data.sizes["time"])
    words = {"long_name": "frame"}
    if time.dtype.kind == "M":
        words = {"units": "s", "long_name": f"time since {str(time[:1].astype('datetime64[s]'))[2:-2]} (s)"}
        time = (time - time[:1]).astype("timedelta64[ns]").astype(np.int64) / 1e9
    _variable(group, ELAPSED, time.astype(np.float64), words)


def _variable(group: h5netcdf.Group, name: str, values: Any, words: Mapping[str, str]) -> None:  # noqa: ANN401 - 1-D
    variable = group.create_variable(name, ("time",), np.float64, data=np.asarray(values, dtype=np.float64))
    variable.attrs.update(words)


def _texts(*names: str) -> Any:  # noqa: ANN401 - an array of texts as HDF5 has them
    return np.array(names, dtype=h5py.string_dtype())


def safe_names(names: list[str]) -> list[str]:
    """Return names that NeXus allows, all different and none of ours.

    Examples
    --------
    >>> safe_names(["WZ", "In 1/2", "In 1-2", "elapsed", "3"])
    ['WZ', 'In_1_2', 'In_1_2_', 'elapsed_', '_3']
    """
    taken, result = {ELAPSED}, []
    for name in names:
        safe = re.sub(r"\W", "_", name, flags=re.ASCII)
        safe = f"_{safe}" if not re.match(r"[A-Za-z_]", safe) else safe
        while {safe, errors_name(safe)} & taken:
            safe += "_"
        taken |= {safe, errors_name(safe)}
        result.append(safe)
    return result
