"""Serving the explorer on this machine: a free port, the address on stdout, a token for everybody."""

from __future__ import annotations

import code
import contextlib
import json
import os
import sys
import webbrowser
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path

import xarray as xr

import xinsitu
from xinsitu.errors import LayoutError, SchemaError, XinsituError, in_a_line
from xinsitu.io.documents import read_rois
from xinsitu.io.poni import read_geometry
from xinsitu.physics.corrections.apply import Correction
from xinsitu.physics.reduction.reciprocal_maps import MAPS, with_geometry
from xinsitu.recipe import FRAMES, Correcting, Reading
from xinsitu.values import Background, DetectorGeometry, RoiSet

from .data.source import PathLike, Source, open_source
from .data.store import MEMORY, FrameStore
from .explorer import Explorer as Explorer
from .explorer import Opened
from .preview import Preview, tell

BANNER = "explorer.rois, explorer.series, explorer.changes are what is on the screen; exit() ends the explorer"
"""What a prompt begins with."""


def explore(
    source: PathLike | xr.Dataset | xr.DataArray | xr.DataTree,
    *,
    flatfield: PathLike | xr.DataArray | None = None,
    rois: PathLike | RoiSet | None = None,
    correction: Correction | None = None,
    background: Background | None = None,
    correcting: Correcting | None = None,
    reading: Reading | None = None,
    calibration: Mapping[str, xr.DataArray] | None = None,
    geometry: DetectorGeometry | PathLike | None = None,
    port: int | Preview = 0,
    browser: bool = True,
    public: bool = False,
    follow: bool = False,
    block: bool = False,
    memory: int = MEMORY,
) -> Explorer:
    """Explore frames in the browser: the detector over time, ROIs under the mouse, curves that follow.

    Parameters
    ----------
    source
        Folder of a measurement or of a sample, or a measurement that was opened.
    flatfield
        Folder of flat-field frames, or ``(y, x)``.
    rois
        ROI file or ROIs to begin with; None: as in the old tool, around the brightest spot.
    correction
        What is done to the frames, complete; or else
    background, correcting
        its parts: a background region, or the recipe of the command line.
    reading
        How folders are opened.
    calibration
        Of ``y`` and/or ``x``, as :func:`~xinsitu.calibrate` takes it: shown beside the mouse.
    geometry
        Where the detector stands, or its file: q and angles are shown beside the mouse. Frames that went through
        :func:`~xinsitu.with_geometry` need none.
    port
        Of the server; 0: a free one. Or what serves the first frame there meanwhile.
    browser
        Open the page in the browser.
    public
        Let other machines in, too, that know the random token in the address; without it nobody gets in.
    follow
        Look for new frames twice a second; an empty folder, or one that is not there yet, is waited for.
    block
        Print the address and return only when it is stopped: the command line.
    memory
        Bytes of frames that are kept in memory; more than that becomes a tiled copy on disc.

    Returns
    -------
    Explorer
        With ``rois``, ``series``, ``to_dataframe()``, ``url`` and ``stop()``.

    Raises
    ------
    XinsituError
        Frames, ROIs or flat field cannot be opened, or the port is taken.
    """
    reading, correcting = reading or Reading(), _correcting(correcting, flatfield, background)
    chosen = rois if rois is None or isinstance(rois, RoiSet) else read_rois(rois)
    pixels = _checked(calibration or {})
    stands = read_geometry(geometry) if isinstance(geometry, str | os.PathLike) else geometry

    def prepare() -> Opened:
        opened = open_source(source, reading=reading, correcting=correcting)
        doing, opened = _corrected(opened, correction, flatfield)
        store = FrameStore(opened, memory=memory)
        return Opened(opened, store, chosen, doing, {**pixels, **_in_q(store.data, stands)})

    explorer = Explorer(public=public, early=port if isinstance(port, Preview) else None)
    try:
        explorer.begin(prepare())
    except LayoutError:
        if not follow or not isinstance(source, str | os.PathLike):
            raise
        explorer.waiting_for = os.fspath(source)
    explorer.serve(port=port if isinstance(port, int) else port.port)
    if follow:
        explorer.follow(prepare)
    else:
        explorer.notice()
    if block:
        stay(explorer, browser=browser)
    elif browser and "ipykernel" not in sys.modules:  # a notebook shows the handle itself
        webbrowser.open(explorer.url)
    return explorer


def stay(explorer: Explorer, *, browser: bool, console: bool = False) -> None:
    """Print the address, and return when the explorer is stopped; with a Python prompt, when that is left."""
    if explorer.early is None:
        tell(explorer.url, browser=browser)
    if console:
        with contextlib.suppress(SystemExit):
            code.interact(BANNER, local={"explorer": explorer, "xi": xinsitu, "xr": xr}, exitmsg="")
        explorer.end()
    else:
        explorer.wait()
    for path in explorer.kept:
        kept = in_a_line(f"xinsitu: not saved, so kept in {path}; the next explore of these frames offers it")
        print(kept, file=sys.stderr)  # noqa: T201
    for why in explorer.lost:
        print(in_a_line(f"xinsitu: not saved, and cannot be kept: {why}"), file=sys.stderr)  # noqa: T201


def _checked(calibration: Mapping[str, xr.DataArray]) -> Mapping[str, xr.DataArray]:
    """Return calibrations whose every pixel has its place on the detector."""
    for axis, array in calibration.items():
        if axis not in ("y", "x") or not array.dims or not set(array.dims) <= set(array.coords) & {"y", "x"}:
            raise SchemaError("a calibration is a dict of 'y' and 'x', each as xinsitu.reciprocal_axis makes it")
    return calibration


def _in_q(frames: xr.Dataset, geometry: DetectorGeometry | None) -> dict[str, xr.DataArray]:
    """Return the maps of q and angles that frames have, or are given; the exit angle where the incidence is known."""
    if geometry is not None:
        frames = with_geometry(frames, geometry)
    tilted = json.loads(frames.attrs.get("geometry", "{}")).get("incidence")
    names = [name for name in MAPS if name != "exit_angle" or tilted]
    return {name: frames[name] for name in names if name in frames.coords and frames[name].dims == ("y", "x")}


def _correcting(
    correcting: Correcting | None, flatfield: PathLike | xr.DataArray | None, background: Background | None
) -> Correcting:
    """Return the recipe of the correction as far as it has one."""
    folder = None if flatfield is None or isinstance(flatfield, xr.DataArray) else Path(flatfield)
    if correcting is None:
        return Correcting(flatfield=folder, background=background)
    return replace(correcting, flatfield=folder or correcting.flatfield, background=background or correcting.background)


def _corrected(
    opened: Source, correction: Correction | None, flatfield: PathLike | xr.DataArray | None
) -> tuple[Correction | None, Source]:
    """Return what is done to frames, and them with the recipe of it."""
    correcting = opened.correcting.of(opened.data)
    opened = replace(opened, correcting=correcting)
    doing = correction
    if correction is None:
        doing = _correction(correcting, flatfield, opened.reading.beside(opened.parts[0]))
    if correction is not None or isinstance(flatfield, xr.DataArray):
        named = _named(doing, opened.reading)
        opened = replace(opened, correcting=replace(named, mask=correcting.mask if correction is None else None))
    return doing, opened


def _named(correction: Correction | None, reading: Reading) -> Correcting:
    """Return the recipe of a correction: its calibrations have files only where these hold the very same ones."""
    if correction is None:
        return Correcting()
    values = {item.name: getattr(correction, item.name) for item in fields(correction)}
    for name in FRAMES:
        source = None if values[name] is None else values[name].encoding.get("source")
        values[name] = None if source is None else Path(str(source))
    found = Correcting(**{**values, "mask": None})
    with contextlib.suppress(XinsituError, OSError):
        if found.correction(reading) == replace(correction, mask=None):
            return found
    return replace(found, **dict.fromkeys(FRAMES))


def _correction(
    correcting: Correcting, flatfield: PathLike | xr.DataArray | None, reading: Reading
) -> Correction | None:
    """Return what is done to the frames; None where that is nothing."""
    if isinstance(flatfield, xr.DataArray):
        found = replace(replace(correcting, flatfield=None).correction(reading), flatfield=flatfield)
    else:
        found = correcting.correction(reading)
    return found if found.applied else None
