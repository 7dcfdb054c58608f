"""A default plot in every file, as NeXus says it: silx view, NeXpy and h5web show it when the file is opened.

``/entry`` (NXentry) holds NXdata groups: of ROI time series one for each quantity, with a curve for each ROI and its
errors; of frames, profiles and anything else one with links to it. In a tree each measurement is an NXentry with such
groups, ``plot_NAME``. Nothing of ours is read back from there.
Format: https://manual.nexusformat.org/classes/base_classes/NXdata.html
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Hashable, Mapping
from typing import Any, Literal

import dask
import h5netcdf
import h5py
import numpy as np
import xarray as xr

from xinsitu.schema import OTHER_TIME, errors_name

from .conventions import file_units

ENGINE: Literal["h5netcdf"] = "h5netcdf"
ENTRY, FRAMES, ELAPSED, PLOT = "entry", "frames", "elapsed", "plot_"
IMAGE = "image"
SERIES = ("intensity", "com_y", "com_x", "centre_y", "centre_x", "fwhm_y", "fwhm_x", "area_y", "area_x")
"""Quantities of ROIs, and of peaks in them, that are plotted."""
MOST_CURVES = 100
"""Curves of a quantity; more ROIs are a picture, ROIs across."""


ROWS = 1024
"""Frames in one piece of a file that grows."""
_SUMMED = {"fletcher32": True}


def as_netcdf(data: xr.Dataset | xr.DataTree, *, frames: bool = False, growing: bool = False) -> bytes:
    """Return a netCDF file with its default plot; without one where there are no numbers to plot.

    Parameters
    ----------
    data
        What is in it, in memory.
    frames
        Whether ``image`` will be in it.
    growing
        Whether rows will be put behind those of a Dataset: time has no end.
    """
    data = data.map_over_datasets(_with_sums) if isinstance(data, xr.DataTree) else _with_sums(data)
    buffer, how = io.BytesIO(), _without_end(data) if growing and isinstance(data, xr.Dataset) else {}
    with dask.config.set(scheduler="synchronous"):  # a cluster would be asked for a lock on the buffer
        data.to_netcdf(buffer, engine=ENGINE, **how)
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


def _with_sums(data: xr.Dataset) -> xr.Dataset:
    """Let HDF5 keep check sums of all numbers: a byte that a disc gives back otherwise is an error, no other number."""
    result = data.copy(deep=False)
    for variable in result.variables.values():
        if variable.shape and variable.size and variable.dtype.kind in "iufbMm":
            variable.encoding = variable.encoding | _SUMMED
    return result


def _without_end(data: xr.Dataset) -> dict[str, Any]:
    """Return how a Dataset is written of which rows will become more: in pieces, however few there are yet."""
    rows = {name: one for name, one in data.variables.items() if one.dims[:1] == ("time",)}
    pieces = {name: {**one.encoding, "chunksizes": (ROWS, *one.shape[1:])} for name, one in rows.items()}
    return {"unlimited_dims": ["time"], "encoding": pieces}


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
    series = [name for name in SERIES if name in data and _number_of_curves(data[name])]
    if series and _number_of_curves(data[series[0]]) <= MOST_CURVES:
        return series
    plain = [str(name) for name, one in data.data_vars.items() if _is_plottable(str(name), one)]
    return (series or sorted(plain, key=lambda name: "time" not in data[name].dims))[:1]


def _number_of_curves(variable: xr.DataArray) -> int:
    """ROIs, or peaks in all of them, of a series; 0 of anything else."""
    others = [dim for dim in variable.dims if dim != "time"]
    of_rois = len(others) < variable.ndim and others[:1] == ["roi"] and set(others[1:]) <= {"peak", "ridge"}
    return math.prod(variable.sizes[dim] for dim in others) if of_rois else 0


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
        if name in SERIES and name in data and 0 < _number_of_curves(data[name]) <= MOST_CURVES:
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
    times = {OTHER_TIME: f"other_{ELAPSED}", "time": ELAPSED}
    axes = [times.get(str(dim)) or (str(dim) if dim in numeric else ".") for dim in dims]
    group.attrs.update({"NX_class": "NXdata", "signal": name, "axes": _texts(*axes)})
    for dim in [dim for dim in times if dim in dims]:
        _elapsed(group, data, dim, times[dim])
    for one in (name, *(errors for errors in [errors_name(name)] if errors in data), *numeric):
        group._h5group[one] = h5py.SoftLink(f"{above}/{one}")


def _curves(group: h5netcdf.Group, data: xr.Dataset, name: str) -> None:
    """One curve for each ROI, or for each peak in it, the first one in front."""
    values = data[name].transpose("time", "roi", ...)
    errors = data.get(errors_name(name))
    labels = [str(roi) for roi in data["roi"].values]
    for dim in values.dims[2:]:
        labels = [f"{roi} {dim} {number}" for roi in labels for number in range(data.sizes[dim])]
    names, shape = safe_names(labels), (values.sizes["time"], len(labels))
    about: dict[str, Any] = {
        "NX_class": "NXdata", "signal": names[0], "axes": _texts(ELAPSED), "title": str(values.attrs["long_name"])
        if "long_name" in values.attrs else name,
    }  # fmt: skip
    group.attrs.update(about | ({"auxiliary_signals": _texts(*names[1:])} if names[1:] else {}))
    _elapsed(group, data)
    for number, (called, roi) in enumerate(zip(names, labels, strict=True)):
        units = file_units(str(values.attrs.get("units", "1")))
        words = {"units": units, "long_name": f"{about['title']} of {roi} ({units})"}
        _variable(group, called, values.values.reshape(shape)[:, number], words)
        if errors is not None:
            column = errors.transpose(*values.dims).values.reshape(shape)[:, number]
            _variable(group, errors_name(called), column, {"units": units})


def _elapsed(group: h5netcdf.Group, data: xr.Dataset, dim: str = "time", called: str = ELAPSED) -> None:
    time = np.asarray(data[dim].values) if dim in data.coords else np.arange(data.sizes[dim])
    words = {"long_name": "frame"}
    if time.dtype.kind == "M":
        words = {"units": "s", "long_name": f"time since {str(time[:1].astype('datetime64[s]'))[2:-2]} (s)"}
        time = (time - time[:1]).astype("timedelta64[ns]").astype(np.int64) / 1e9
    _variable(group, called, time.astype(np.float64), words, dim)


def _variable(
    group: h5netcdf.Group,
    name: str,
    values: Any,  # noqa: ANN401 - 1-D
    words: Mapping[str, str],
    dim: str = "time",
) -> None:
    pieces = (ROWS,) if group._all_dimensions[dim].isunlimited() else None
    how = {"chunks": pieces, **(_SUMMED if len(values) else {})}
    variable = group.create_variable(name, (dim,), np.float64, data=np.asarray(values, dtype=np.float64), **how)
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
