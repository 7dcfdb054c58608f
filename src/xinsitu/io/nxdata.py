"""A default plot in every file, as NeXus says it: silx view, NeXpy and h5web show it when the file is opened.

``/entry`` (NXentry) holds NXdata groups: of ROI time series one for each quantity, with a curve for each ROI and its
errors; of frames, profiles and anything else one with links to it. In a tree each measurement is an NXentry with such
groups, ``plot_NAME``. Nothing of ours is read back from there.
Format: https://manual.nexusformat.org/classes/base_classes/NXdata.html
"""

from __future__ import annotations

import io
import re
from collections.abc import Hashable, Mapping
from typing import Any, Literal

import dask
import h5netcdf
import h5py
import numpy as np
import xarray as xr

from xinsitu.schema import CURVES, errors_name

from .conventions import file_units

ENGINE: Literal["h5netcdf"] = "h5netcdf"
ENTRY, FRAMES, ELAPSED, PLOT = "entry", "frames", "elapsed", "plot_"
IMAGE = "image"
MOST_CURVES = 100
"""ROIs of which each has a curve; more are a picture, ROIs across."""


def as_netcdf(data: xr.Dataset | xr.DataTree, *, frames: bool = False) -> bytes:
    """Return a netCDF file with its default plot; without one where there are no numbers to plot.

    Parameters
    ----------
    data
        What is in it, in memory.
    frames
        Whether ``image`` will be in it.
    """
    buffer = io.BytesIO()
    with dask.config.set(scheduler="synchronous"):  # a cluster would be asked for a lock on the buffer
        data.to_netcdf(buffer, engine=ENGINE)
    below = [one.to_dataset(inherit=False) for one in data.descendants] if isinstance(data, xr.DataTree) else [data]
    if not any(_plots(one, frames=frames) for one in below):
        return buffer.getvalue()
    with h5netcdf.File(buffer, "a") as file:
        if isinstance(data, xr.DataTree):
            _of_tree(file, data, "NXroot")
        else:
            name = ENTRY
            while name in data.variables or name in data.dims:
                name += "_"
            file.attrs.update({"NX_class": "NXroot", "default": name})
            _fill(file.create_group(name), data, frames=frames)
    return buffer.getvalue()


def _of_tree(group: h5netcdf.Group, node: xr.DataTree, kind: str) -> bool:
    """Make each measurement an entry, and every group lead to its first one; False where there is nothing to plot."""
    below = "NXentry" if kind == "NXroot" else "NXsubentry"
    found = [name for name, child in node.children.items() if _of_tree(group[str(name)], child, below)]
    data = node.to_dataset(inherit=False)
    if kind != "NXroot" and _plots(data):
        _fill(group, data, kind, PLOT)
        return True
    if found:
        group.attrs.update({"NX_class": kind, "default": found[0]})
    return bool(found)


def _plots(data: xr.Dataset, *, frames: bool = False) -> list[str]:
    """Names of what is plotted, the default first."""
    if frames or set(data.get(IMAGE, xr.DataArray()).dims) == {"time", "y", "x"}:
        return [IMAGE]
    curves = {name: data[name] for name in CURVES if name in data}
    series = [name for name, one in curves.items() if set(one.dims) == {"time", "roi"} and one.sizes["roi"]]
    if series and data.sizes["roi"] <= MOST_CURVES:
        return series
    plain = [str(name) for name, one in data.data_vars.items() if _is_plottable(str(name), one)]
    return (series or sorted(plain, key=lambda name: "time" not in data[name].dims))[:1]


def _is_plottable(name: str, variable: xr.DataArray) -> bool:
    measured = variable.dtype.kind in "iuf" and "flag_meanings" not in variable.attrs and not name.endswith("_errors")
    return measured and 0 < variable.ndim <= 3 and variable.sizes.get("roi", 1) > 0


def _fill(
    entry: h5netcdf.Group, data: xr.Dataset, kind: str = "NXentry", prefix: str = "", *, frames: bool = False
) -> None:
    """Put the plots of a Dataset into an entry."""
    names = _plots(data, frames=frames)
    called = {name: prefix + (FRAMES if name == IMAGE else name) for name in names}
    entry.attrs.update({"NX_class": kind, "default": called[names[0]], **_title(data)})
    for name in names:
        dims = data[name].dims if name in data.data_vars else ("time", "y", "x")
        group = entry.create_group(called[name])
        if name in CURVES and set(dims) == {"time", "roi"} and data.sizes["roi"] <= MOST_CURVES:
            _curves(group, data, name)
        else:
            _links(group, data, name, dims)


def _title(data: xr.Dataset) -> dict[str, str]:
    parts = [
        str(data[name].values) for name in ("sample", "measurement") if name in data.coords and not data[name].dims
    ]
    return {"title": " ".join(parts)} if any(parts) else {}


def _links(group: h5netcdf.Group, data: xr.Dataset, name: str, dims: tuple[Hashable, ...]) -> None:
    """Link to a variable, its errors and its axes, which stand beside the entry or around it."""
    above = group.name.rpartition("/")[0]
    above = above.rpartition("/")[0] if not group.name.rpartition("/")[2].startswith(PLOT) else above
    numeric = [str(dim) for dim in dims if dim in data.coords and data[dim].dtype.kind in "iuf" and dim != "time"]
    axes = [ELAPSED if dim == "time" else str(dim) if dim in numeric else "." for dim in dims]
    group.attrs.update({"NX_class": "NXdata", "signal": name, "axes": _texts(*axes)})
    if "time" in dims:
        _elapsed(group, data)
    for one in (name, *(errors for errors in [errors_name(name)] if errors in data), *numeric):
        group._h5group[one] = h5py.SoftLink(f"{above}/{one}")


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
