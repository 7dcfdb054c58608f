"""Make datasets alike before they are joined on time: the same ROIs, the same columns."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import xarray as xr

from xinsitu.errors import warn

BOX = ("roi_y0", "roi_y1", "roi_x0", "roi_x1")
SHAPE = "roi_shape"
_ABSENT: Mapping[str, object] = {
    "n_valid": 0,
    "n_saturated": -1,
    "quality": 0,
    "frame_status": 0,
    "segment": 0,
    **dict.fromkeys((*BOX, "frame", "scan"), -1),
}
"""What stands where a measurement does not have a ROI or a column: these stay whole numbers, all others become NaN."""


def aligned(datasets: Sequence[xr.Dataset]) -> list[xr.Dataset]:
    """Give all the same ROIs in the same order, the same variables, and put what differs on the time axis."""
    indexes = {
        dim: _union([data[dim].values for data in datasets if dim in data.indexes], dim) for dim in _dims(datasets)
    }
    alike = [_reindexed(data, indexes) for data in datasets]
    moved = (*BOX, SHAPE) if _boxes_differ(alike) else ()
    names = dict.fromkeys(str(name) for data in alike for name in data.variables)
    for name in names:
        if name not in indexes and name != "time":
            alike = _agreed(alike, name, on_time=name in moved)
    return alike


def _dims(datasets: Sequence[xr.Dataset]) -> list[str]:
    """Indexed dimensions other than time."""
    return list(dict.fromkeys(str(dim) for data in datasets for dim in data.indexes if dim != "time"))


def _union(values: Sequence[npt.NDArray[np.generic]], dim: str) -> npt.NDArray[np.generic]:
    """Labels in order of appearance, pixels and other numbers in order of size."""
    if dim == "roi":
        return np.asarray(list(dict.fromkeys(str(label) for labels in values for label in labels)))
    return np.unique(np.concatenate(values))


def _reindexed(data: xr.Dataset, indexes: Mapping[str, npt.NDArray[np.generic]]) -> xr.Dataset:
    here = {dim: index for dim, index in indexes.items() if dim in data.indexes}
    if all(np.array_equal(data[dim].values.astype(index.dtype), index) for dim, index in here.items()):
        return data
    fill = {name: _absent(str(name), data[name].dtype) for name in data.variables if name not in here}
    return data.reindex(here, fill_value=fill)


def _absent(name: str, dtype: np.dtype[np.generic]) -> object:
    if dtype.kind in "iu":
        return _ABSENT.get(name, np.nan)
    return {"U": "", "O": "", "b": False, "M": np.datetime64("NaT", "ns"), "m": np.timedelta64("NaT", "ns")}.get(
        dtype.kind, np.nan
    )


def _agreed(datasets: Sequence[xr.Dataset], name: str, *, on_time: bool) -> list[xr.Dataset]:
    """Leave a variable without time so where all agree on it; otherwise put it onto the time axis."""
    holders = [data for data in datasets if name in data.variables]
    scalar_of_some = len(holders) < len(datasets) and not holders[0][name].dims
    if not on_time and not scalar_of_some and all("time" not in data[name].dims for data in holders):
        common = _common(holders, name)
        if common is not None:
            return [_assigned(data, name, common, name in holders[0].coords) for data in datasets]
    sizes = {dim: size for data in holders for dim, size in data[name].sizes.items() if dim != "time"}
    return [_on_time(data, name, sizes, holders[0][name]) for data in datasets]


def _common(holders: Sequence[xr.Dataset], name: str) -> xr.Variable | None:
    """Value on which all measurements that have one agree."""
    first = holders[0][name].variable
    if any(data[name].dims != first.dims for data in holders):
        return None
    merged, absent = first.values.copy(), _absent(name, first.dtype)
    for data in holders[1:]:
        values = data[name].values
        ours, theirs = _is_absent(merged, absent), _is_absent(values, absent)
        if not np.all((merged == values) | ours | theirs):
            return None
        merged = np.where(ours, values, merged)
    return first.copy(data=merged)


def _is_absent(values: npt.NDArray[np.generic], absent: object) -> npt.NDArray[np.bool_]:
    if values.dtype.kind == "b":
        return np.zeros(values.shape, dtype=bool)
    if values.dtype.kind in "fmM" or (isinstance(absent, float) and np.isnan(absent)):
        return np.asarray(values != values)
    return np.asarray(values == absent) if values.ndim else np.zeros((), dtype=bool)


def _assigned(data: xr.Dataset, name: str, value: xr.Variable, coordinate: bool) -> xr.Dataset:
    return data.assign_coords({name: value}) if coordinate else data.assign({name: value})


def _on_time(data: xr.Dataset, name: str, sizes: Mapping[Hashable, int], like: xr.DataArray) -> xr.Dataset:
    dims = ("time", *sizes)
    shape = (data.sizes["time"], *sizes.values())
    if name in data.variables:
        held = data[name]
        if held.dims[:1] == ("time",) and set(held.dims) == set(dims):
            return data
        value = held.broadcast_like(data["time"]).transpose(*dims).variable.copy()
    else:
        absent = _absent(name, like.dtype)
        dtype = np.dtype("float64") if like.dtype.kind in "iu" and isinstance(absent, float) else like.dtype
        value = xr.Variable(dims, np.full(shape, absent, dtype=dtype), like.attrs)
    return _assigned(data, name, value, name in data.coords or name in like.coords)


def _boxes_differ(datasets: Sequence[xr.Dataset]) -> bool:
    """Whether a ROI has not the same box everywhere; warns which, and where."""
    boxes: dict[str, dict[tuple[int | str, ...], list[str]]] = {}
    for data in datasets:
        if not all(corner in data.coords and data[corner].dims == ("roi",) for corner in BOX):
            continue
        where = "/".join(dict.fromkeys(data["measurement"].values.tolist()))
        known = SHAPE in data.coords and data[SHAPE].dims == ("roi",)
        shapes = data[SHAPE].values.tolist() if known else [""] * data.sizes["roi"]
        corners = (data[corner].values.tolist() for corner in BOX)
        for roi, shape, *box in zip(data["roi"].values, shapes, *corners, strict=True):
            if box[0] >= 0:
                boxes.setdefault(str(roi), {}).setdefault((*box, shape), []).append(where)
    told = "; ".join(f"{roi}: {_where(of)}" for roi, of in boxes.items() if len(of) > 1)
    if told:
        text = f"ROIs have different boxes, so their values need not join ({told}); measure again with one set of ROIs"
        warn(text)
    return bool(told)


def _where(boxes: Mapping[tuple[int | str, ...], Sequence[str]]) -> str:
    """Say which boxes and shapes a ROI has, and in which measurements."""
    shaped = any(shape for *_, shape in boxes)
    return ", ".join(
        " ".join((f"y {y0}:{y1} x {x0}:{x1}", *((str(shape or "rectangle"),) * shaped), f"in {'+'.join(names)}"))
        for (y0, y1, x0, x1, shape), names in boxes.items()
    )
