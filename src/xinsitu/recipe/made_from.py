"""What a step reads, as a digest: frames by name, size and time of change, the other files by their content."""

from __future__ import annotations

import glob
import hashlib
import os
from pathlib import Path

import h5py

from xinsitu.errors import XinsituError
from xinsitu.io.disk import ordinary
from xinsitu.io.formats.hdf5_links import linked_files
from xinsitu.io.formats.zarr_stack import attributes_of, files_of

from . import Fit, Measure, Parse, Radial, Recipe

SOURCES = "sources_token"
"""Attribute of a result: the state of all that it was made from."""


def state_of(step: Recipe) -> str:
    """Digest of all files that a step reads: frames, those that calibrate them, masks, calibrations, logs, tables."""
    digest = hashlib.blake2b(digest_size=12)
    if isinstance(step, Parse | Measure | Fit | Radial):
        for path in (step.measurement, *step.correcting.folders):
            digest.update(_frames(path).encode())
        files = [step.correcting.mask, *(one.file for one in getattr(step, "calibrating", ()))]
        for path in (path for path in files if path is not None):
            digest.update(_content(path).encode())
        for said in (step.reading.logs, step.reading.instrument):  # a file, or a word
            if isinstance(said, str | os.PathLike) and os.path.isfile(said):
                digest.update(_content(Path(said)).encode())
    return digest.hexdigest()


def _frames(path: Path) -> str:
    """Return names, sizes and times of the files in a folder or a store, that a pattern or an HDF5 file leads to."""
    try:
        if attributes_of(path) is not None:
            return repr(sorted(files_of(os.fspath(path)).items()))
        if path.is_dir():
            with os.scandir(path) as entries:
                files = [(one.name, one.stat()) for one in entries if one.is_file()]
            return repr(sorted((name, status.st_size, status.st_mtime_ns) for name, status in files))
        named = [path] if path.exists() else map(Path, sorted(glob.glob(os.fspath(path))))
        return repr([file for one in named if one.is_file() for file in _files(one)])
    except (XinsituError, OSError) as fault:  # whoever opens it will say so
        return str(fault)


def _files(path: Path) -> list[tuple[str, int, int]]:
    if h5py.is_hdf5(ordinary(path)):
        return [(os.path.relpath(name, path.parent), size, time) for name, size, time in linked_files(os.fspath(path))]
    return [(path.name, path.stat().st_size, path.stat().st_mtime_ns)]


def _content(path: Path) -> str:
    try:
        with Path(ordinary(path)).open("rb") as file:
            return hashlib.file_digest(file, "blake2b").hexdigest()
    except OSError:
        return "nothing"
