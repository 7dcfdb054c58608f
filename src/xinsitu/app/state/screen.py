"""What is on the screen at one moment, its numbers, and the recipe that makes them again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import xarray as xr

from xinsitu.app.data.source import Source
from xinsitu.physics.corrections.apply import Correction
from xinsitu.physics.samples.bad_frames import flag_bad_frames
from xinsitu.recipe import Correcting, Measure, Reading, Stitch
from xinsitu.schema import image_of
from xinsitu.values import AttenuationChange, Event, FrameRange, Key, RoiSet
from xinsitu.variables import held_elsewhere

from .corrections import Corrections
from .curve_state import SMOOTH
from .measuring import Request, answer, masked
from .model import ExplorerModel
from .view_file import view_text


@dataclass(frozen=True)
class Screen:
    """What is on the screen at one moment: everything that leaves the explorer is made of it, on whatever thread."""

    source: Source
    data: xr.Dataset
    faults: Mapping[int, str]
    rois: RoiSet
    corrections: Corrections
    corrected: bool
    changes: tuple[AttenuationChange, ...]
    events: tuple[Event, ...]
    bad_frames: tuple[FrameRange, ...]
    axis: str
    log_intensity: bool
    smooth: str | None
    derivative: bool
    normalise: str | None
    files: Mapping[str, str]

    @classmethod
    def of(cls, model: ExplorerModel | Screen) -> Screen:
        """Take what a model shows, at once."""
        if isinstance(model, Screen):
            return model
        store, view, curves = model.store, model.view, model.curves
        files = {
            "rois": model.regions.rois_text(),
            "changes": model.attenuation.changes_text(),
            "events": model.logbook.events_text(),
            "view": view_text(model),
        }
        return cls(
            model.source, store.measurable(), dict(store.faults), RoiSet(list(model.regions.rois)),
            view.corrections, view.corrected, tuple(model.attenuation.changes), _events_of(model),
            tuple(model.numbers.bad_frames), view.axis, curves.log_intensity, SMOOTH if curves.smooth else None,
            curves.derivative, curves.window_text, files,
        )  # fmt: skip

    @property
    def name(self) -> str:
        """Stem of the files."""
        kept = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in self.source.name)
        return kept.strip("._") or "frames"

    @property
    def reading(self) -> Reading:
        """How the frames are opened; where one could not be read while they were shown, it is not to stop a rerun."""
        way = self.source.reading
        return replace(way, on_error="nan") if self.faults and way.on_error == "raise" else way

    @property
    def correcting(self) -> Correcting:
        """The recipe of the correction."""
        return self.corrections.correcting if self.corrected else Correcting()

    @property
    def correction(self) -> Correction | None:
        """What is done to the frames."""
        return self.corrections.active if self.corrected else None

    @property
    def plot(self) -> dict[str, object]:
        """Keywords of :func:`~xinsitu.plot` that draw the curves as they are shown."""
        more = {"smooth": self.smooth, "derivative": self.derivative, "normalise": self.normalise}
        return {"x": self.axis, "log": self.log_intensity, **{name: value for name, value in more.items() if value}}

    @property
    def reproducible(self) -> bool:
        """Whether folders hold everything that the result is made of."""
        source, known = self.source, not self.corrected or self.corrections.known
        return known and bool(source.folders) and len(source.folders) == len(source.parts)


def _events_of(model: ExplorerModel) -> tuple[Event, ...]:
    """Return the events of what is shown: a file of events is often that of the whole sample."""
    shown = {str(part["measurement"].values) for part in model.source.parts if "measurement" in part.coords}

    def elsewhere(end: object) -> bool:
        return isinstance(end, Key) and end.measurement is not None and end.measurement not in shown

    return tuple(event for event in model.logbook.events if not elsewhere(event.start) and not elsewhere(event.stop))


Shown = ExplorerModel | Screen


def recipe(model: Shown) -> Measure | Stitch | None:
    """Return the recipe of what is on the screen; None for frames or a correction that no folder holds."""
    screen = Screen.of(model)
    if not screen.reproducible:
        return None
    inputs = tuple(Measure(folder, screen.rois, screen.reading, screen.correcting) for folder in screen.source.folders)
    if len(inputs) == 1 and not screen.changes and not screen.events:
        return replace(inputs[0], bad_frames=screen.bad_frames)
    return Stitch(inputs=inputs, changes=screen.changes, events=screen.events, bad_frames=screen.bad_frames)


def result(model: Shown) -> xr.Dataset:
    """Return what the recipe makes, from the frames that are at hand already.

    Every measurement is measured by itself; several are stitched, and the changes of attenuation are corrected.

    Raises
    ------
    XinsituError
        The frames cannot be measured or the measurements not be joined.
    """
    screen = Screen.of(model)
    series = [_measured(screen, part, first) for part, first in _parts(screen)]
    if len(series) > 1 or screen.changes or screen.events:
        return Stitch((), screen.changes, events=screen.events, bad_frames=screen.bad_frames).join(series)
    return flag_bad_frames(series[0], screen.bad_frames) if screen.bad_frames else series[0]


def _parts(screen: Screen) -> list[tuple[xr.Dataset, int]]:
    """Return the measurements as they were opened, their pixels at hand, and the position of their first frame."""
    data, parts, first = screen.data, [], 0
    for part in screen.source.parts:
        last = min(first + part.sizes["time"], data.sizes["time"])
        if last > first:
            kept = part.isel(time=slice(0, last - first))
            image = held_elsewhere(image_of(kept), image_of(data).isel(time=slice(first, last)).data)
            parts.append((kept.assign(image=image), first))
        first += part.sizes["time"]
    return parts


def _measured(screen: Screen, part: xr.Dataset, first: int) -> xr.Dataset:
    faults = {at - first: text for at, text in screen.faults.items() if 0 <= at - first < part.sizes["time"]}
    request = Request(part, screen.rois, screen.rois.names, screen.correction, {})
    return masked(answer(request).series, faults)
