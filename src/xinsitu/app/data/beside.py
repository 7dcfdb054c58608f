"""What lies beside the frames: ROI files and saved results of other measurements, to be chosen from."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from pathlib import Path

import xarray as xr

from xinsitu.errors import DocumentError
from xinsitu.io.documents import ROIS, VERSION
from xinsitu.io.results import holds_series, read_results

from .source import Source

CALIBRATION_WORDS = {"flatfield": "flat", "mask": "mask", "dark": "dark", "background_image": "background"}
"""What calibrations beside the frames have in their names."""
LARGEST = 10 * 2**20
"""Bytes of a ROI file at most; ours are far smaller."""


def folders(source: Source) -> tuple[Path, ...]:
    """Folders in which ROI files and results of this sample are usual, without repetition.

    The working directory, where results go by default, and the folders of the sample and above it, each with its
    folder ``results``.
    """
    found = [Path.cwd()]
    for folder in source.folders:
        found += [folder.parent, folder.parent.parent]
    both = [one for folder in found for one in (folder.resolve(), folder.resolve() / "results")]
    return tuple(dict.fromkeys(one for one in both if one.is_dir()))


def results(source: Source) -> dict[str, Path]:
    """Return the saved results beside the frames, by a name for people."""
    return _named(path for folder in folders(source) for path in _files(folder, ".nc"))


def roi_files(source: Source) -> dict[str, Path]:
    """Return ROI files, and results, which hold their ROIs, beside the frames, by a name for people."""
    documents = [path for folder in folders(source) for path in _files(folder, ".json") if _holds_rois(path)]
    return {**_named(documents), **results(source)}


def calibrations(source: Source, name: str) -> dict[str, Path]:
    """Return flat fields, darks, background images (folders) or masks (files) beside the frames, by their names."""
    word, wanted = CALIBRATION_WORDS[name], Path.is_file if name == "mask" else Path.is_dir
    found = []
    for folder in folders(source):
        with contextlib.suppress(OSError):  # a folder that others own is none of ours
            found += sorted(one for one in folder.iterdir() if word in one.name.lower() and wanted(one))
    return _named(one for one in found if one.suffix not in (".json", ".nc"))


def _files(folder: Path, ending: str) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == ending and path.is_file())
    except OSError:
        return []  # a folder that others own is none of ours


def _holds_rois(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return f'"{ROIS}"' in file.read(4096)
    except OSError:
        return False


def _named(paths: Iterable[Path]) -> dict[str, Path]:
    """Return files by name; those of one name with their folder."""
    found: dict[str, Path] = {}
    for path in paths:
        label = path.name if path.name not in found else f"{path.parent.name}/{path.name}"
        found.setdefault(label, path)
    return found


def rois_text(path: Path) -> str:
    """Return the ROI file at a path, or the one that a result holds.

    Raises
    ------
    DocumentError
        There are no ROIs in it.
    """
    if path.suffix != ".nc":
        try:
            if path.stat().st_size > LARGEST:
                raise DocumentError(f"{path}: too large for a ROI file")
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as fault:
            raise DocumentError(f"{path}: cannot be read ({fault})") from fault
    text = _result(path).attrs.get("rois")
    if not text:
        raise DocumentError(f"{path}: the result does not say which ROIs it is of")
    return json.dumps({"format": ROIS, "version": VERSION, **json.loads(text)})


def open_result(path: Path) -> xr.Dataset:
    """Open a saved result of ROIs.

    Raises
    ------
    DocumentError
        It cannot be read, or holds no ROI time series.
    """
    found = _result(path)
    if not holds_series(found):
        raise DocumentError(f"{path}: holds no time series of ROIs")
    return found.transpose("time", "roi", ...).assign_attrs(result_name=path.name)


def _result(path: Path) -> xr.Dataset:
    try:
        return read_results(path)
    except OSError as fault:
        raise DocumentError(f"{path}: cannot be read ({fault})") from fault
