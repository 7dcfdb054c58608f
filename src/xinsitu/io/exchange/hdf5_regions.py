"""ROIs in HDF5 files of BLISS, as flint reads them, and of DAWN, as its persistence service does."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping
from typing import Any

import h5py
import numpy as np

from xinsitu.values import Roi

from .carried import Carried
from .roi_tables import from_dawn, from_lima, is_dawn, is_lima, to_dawn, to_lima

_FIELDS = ("kind", "x", "y", "width", "height", "cx", "cy", "r1", "r2", "a1", "a2")
_SELECTION, _REGIONS, _MASK = "selection", "entry/region", "entry/mask"
_DETECTOR = "detector"


def from_hdf5(file: h5py.File) -> Carried | None:
    """Take the first ROIs in a file: what BLISS wrote beside its counters, or regions of DAWN; None without any."""
    tables: dict[str, dict[str, Any]] = {}
    beans: list[Any] = []
    moved: list[str] = []

    def look(name: str, item: object) -> None:
        if isinstance(item, h5py.Group):
            fields = {key: value for key in _FIELDS if (value := _value(item, key)) is not None}
            if is_lima({name: fields}):
                owner = _owner(item)
                if tables.setdefault(owner, fields) != fields and owner not in moved:
                    moved.append(owner)
        for text in (*(item.attrs.values() if "region" in name else ()), _text(item)):  # type: ignore[attr-defined]
            if isinstance(text, str) and text.lstrip().startswith("{"):
                bean = _json(text)
                if is_dawn(bean):
                    beans.append({"name": name.split("/")[-1], **{key: one for key, one in bean.items() if one}})

    file.visititems(look)
    if tables:
        found = from_lima(tables)
        found.lost += [f"{name!r} is elsewhere in later scans" for name in moved]
        return found
    if not beans:
        return None
    found = from_dawn(beans)
    if _MASK in file:
        found.lost.append("the mask beside the regions is not read")
    return found


def _owner(group: h5py.Group) -> str:
    """Name of a ROI: that of the group around its selection, without the detector's name in front of it."""
    group = group.parent if group.name.endswith(f"/{_SELECTION}") else group
    name = str(group.name.split("/")[-1])
    detectors = [one for one in group.parent if name.startswith(f"{one}_")]
    return name[len(max(detectors, key=len)) + 1 :] if detectors else name


def _value(group: h5py.Group, key: str) -> Any:  # noqa: ANN401 - text or number
    found = group.attrs.get(key)
    if (
        found is None
        and group.get(key, getlink=True).__class__ is h5py.HardLink
        and isinstance(group[key], h5py.Dataset)
    ):
        found = group[key][()] if group[key].size == 1 else None
    return found.decode(errors="replace") if isinstance(found, bytes) else found


def _text(item: object) -> str | None:
    if not isinstance(item, h5py.Dataset) or item.size != 1 or item.dtype.kind not in "OS":
        return None
    value = np.asarray(item[()]).reshape(-1)[0]
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _json(text: str) -> Any:  # noqa: ANN401 - anything that JSON has
    try:
        return json.loads(text)
    except ValueError:
        return None


def to_bliss_file(rois: Iterable[Roi], told: Carried) -> bytes:
    """Return a file as BLISS writes one, of a scan without counters: flint reads the ROIs of ``detector``."""
    groups = {f"1.1/instrument/{_DETECTOR}_{name}/{_SELECTION}": one for name, one in to_lima(rois, told).items()}
    with io.BytesIO() as buffer:
        with h5py.File(buffer, "w") as file:
            file.attrs.update({"NX_class": "NXroot", "creator": "Bliss", "publisher": "xinsitu"})  # flint asks for it
            file.create_group("1.1").attrs["NX_class"] = "NXentry"
            file.create_group(f"1.1/instrument/{_DETECTOR}").attrs["NX_class"] = "NXdetector"
            for path, fields in groups.items():
                _fill(file.create_group(path), fields)
        return buffer.getvalue()


def _fill(group: h5py.Group, fields: Mapping[str, Any]) -> None:
    for key, value in fields.items():
        group[key] = value


def to_dawn_file(rois: Iterable[Roi], told: Carried) -> bytes:
    """Return a file of regions as DAWN saves them: each an attribute ``JSON`` of a dataset of its name."""
    with io.BytesIO() as buffer:
        with h5py.File(buffer, "w") as file:
            regions = file.create_group(_REGIONS)
            file["entry"].attrs["NX_class"], regions.attrs["NX_class"] = "NXentry", "NXdata"
            for bean in to_dawn(rois, told):
                regions.create_dataset(bean["name"].replace("/", "_"), data=np.zeros(1, dtype=np.int32))
                regions[bean["name"].replace("/", "_")].attrs["JSON"] = json.dumps(bean)
        return buffer.getvalue()
