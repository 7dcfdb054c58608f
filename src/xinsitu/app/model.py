"""The state of one explorer and everything it can do, without a word about how it is shown.

Views watch the parameters; a test can drive all behaviour from here.
"""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import param
import xarray as xr

from xinsitu.errors import DocumentError, RoiError, XinsituError
from xinsitu.io.documents import ROIS, VERSION
from xinsitu.physics.corrections import Correction
from xinsitu.physics.keys import frame_key, resolve_key
from xinsitu.plots.timeline import AXES, Timeline, breaks, in_zone, timeline
from xinsitu.schema import image_of
from xinsitu.values import AttenuationChange, Event, Key, KeyFrame, Roi, RoiSet

from . import editing
from .frames import FrameStore
from .history import History
from .kinds import as_kind
from .measuring import Answer, Request, answer, fingerprint, masked, with_backgrounds
from .profiles import KymographRequest, SectionRequest
from .sources import Source


class ExplorerModel(param.Parameterized):  # type: ignore[misc] # param has no types
    """One person's view of a measurement or sample.

    ``numbers`` counts the answers that came in; ``updated`` names the ROIs whose numbers the last one changed.
    """

    frame = param.Integer(0, bounds=(0, None), doc="position of the frame that is shown")
    corrected = param.Boolean(False, doc="show corrected frames and measure them")
    log_image = param.Boolean(True, doc="logarithmic colours")
    limits = param.Range((0.5, 1000.0), doc="colour limits")
    rois = param.ClassSelector(class_=RoiSet, default=RoiSet())
    selected = param.String("", doc="name of the ROI that profiles and kymograph show")
    axis = param.Selector(default="elapsed", objects=list(AXES))
    log_intensity = param.Boolean(False)
    shift = param.Boolean(True, doc="centre of mass from its first frames instead of detector pixels")
    along = param.Selector(default="x", objects=["x", "y"])
    show = param.Selector(default="values", objects=["values", "previous", "first", "slope"])
    events = param.Parameter(default=())
    changes = param.Parameter(default=())
    follow = param.Boolean(False, doc="show the newest frame as it comes")
    numbers = param.Integer(0)
    updated = param.Parameter(default=())
    n_frames = param.Integer(0)
    message = param.String("")

    def __init__(
        self,
        source: Source,
        store: FrameStore,
        *,
        rois: RoiSet | None = None,
        correction: Correction | None = None,
        events: tuple[Event, ...] = (),
        changes: tuple[AttenuationChange, ...] = (),
    ) -> None:
        super().__init__(events=tuple(events), changes=tuple(changes))
        self.source, self.store, self.correction = source, store, correction
        self.corrected = correction is not None
        self.n_frames = store.n_frames
        image = image_of(store.data)
        self.shape: editing.Shape = _extent(image, "y"), _extent(image, "x")
        self._numbers: dict[str, tuple[tuple[object, ...], xr.Dataset]] = {}
        self._ranges()
        chosen = rois if rois is not None and len(rois) else editing.first_rois(self.shape, self._brightest())
        self.rois = editing.inside(chosen, self.shape)
        self._history = History(self.rois)
        self.selected = self.rois.names[0]

    # -- frames -------------------------------------------------------------------------------------------------------

    @property
    def active_correction(self) -> Correction | None:
        """What is done to frames now."""
        return self.correction if self.corrected else None

    def image(self, position: int | None = None) -> xr.DataArray:
        """Frame that is shown, dims ``(y, x)``.

        Raises
        ------
        XinsituError
            It cannot be read.
        """
        return self.store.image(self.frame if position is None else position, self.active_correction)

    def _ranges(self) -> None:
        """Colour limits that suit the first frame."""
        try:
            values = self.image(0).values
        except (XinsituError, OSError) as fault:
            self.message = str(fault)
            return
        self.limits = limits_of(values, log=self.log_image)

    def fit_limits(self, percentile: float = 99.9) -> None:
        """Set the colour limits to the frame that is shown."""
        self.limits = limits_of(self.image().values, log=self.log_image, percentile=percentile)

    def _brightest(self) -> tuple[int, int]:
        """Detector pixel of the middle of the brightest spot of the first frame."""
        try:
            frame = self.store.image(0, Correction(median=3))
        except (XinsituError, OSError):
            return (sum(self.shape[0]) // 2, sum(self.shape[1]) // 2)
        values = np.nan_to_num(frame.values, nan=-np.inf)
        row, column = np.unravel_index(int(values.argmax()), values.shape)
        return self.shape[0][0] + int(row), self.shape[1][0] + int(column)

    def goto(self, coordinate: float) -> None:
        """Show the frame nearest to a place on the time axis: its number, or milliseconds where the axis has dates."""
        self.frame = int(np.argmin(np.abs(self.coordinates() - coordinate)))

    def coordinates(self) -> npt.NDArray[np.float64]:
        """Place of every frame on the time axis as a plain number; dates are milliseconds since 1970."""
        line = self.line
        values = line.values.astype("datetime64[us]").astype("int64") / 1e3 if line.dated else line.values
        return np.asarray(values, dtype="float64")

    def step(self, frames: int) -> None:
        """Go on by so many frames, staying inside."""
        self.frame = int(np.clip(self.frame + frames, 0, self.n_frames - 1))

    # -- time ---------------------------------------------------------------------------------------------------------

    @property
    def line(self) -> Timeline:
        """Time axis of the curves."""
        return timeline(self.store.data, x=self.axis)

    @property
    def axes(self) -> tuple[str, ...]:
        """Axes that these frames can be shown against."""
        attributes = self.store.data.attrs
        if attributes.get("time_source") == "frame":
            return ("frame",)
        return AXES if attributes.get("time_zone") else ("elapsed", "utc", "frame")

    def breaks(self) -> npt.NDArray[np.int64]:
        """Positions before which curves are interrupted."""
        times = self.store.data["time"].values
        return breaks(self.store.data, (times - times[0]) / np.timedelta64(1, "s"))

    def frame_text(self, position: int | None = None) -> str:
        """Say what is known of a frame: measurement, number, header stamp, UTC and local time. Plain text."""
        data = self.store.data.isel(time=self.frame if position is None else position)
        parts = [f"{name} {data[name].item()}" for name in ("measurement", "scan", "frame") if name in data.coords]
        if str(data.get("stamp", xr.DataArray("")).item()):
            parts.append(f"stamp {data['stamp'].item()}")
        if self.store.data.attrs.get("time_source") != "frame":
            time = np.asarray([data["time"].values], dtype="datetime64[ns]")
            parts.append(f"{np.datetime_as_string(time[0], unit='ms')} UTC")
            if zone := str(self.store.data.attrs.get("time_zone", "")):
                parts.append(f"{np.datetime_as_string(in_zone(time, zone)[0], unit='ms')} {zone}")
        return "  ·  ".join(parts)

    def change_places(self) -> list[tuple[float, float]]:
        """Places of the changes of attenuation on the time axis: last frame before, first frame after."""
        x, places = self.coordinates(), []
        for change in self.changes:
            before = resolve_key(self.store.data, change.before_key or change.before, side="before")
            after = resolve_key(self.store.data, change.after_key or change.after, side="after", later_than=before)
            places.append((float(x[before]), float(x[after])))
        return places

    # -- ROIs ---------------------------------------------------------------------------------------------------------

    @property
    def roi(self) -> Roi | None:
        """The selected ROI."""
        return self.rois[self.selected] if self.selected in self.rois.names else None

    def place(self, name: str, y: tuple[float, float], x: tuple[float, float]) -> None:
        """Put a ROI where the mouse has it: edges between pixels, in any order. :meth:`commit` makes it undoable."""
        box = {"y": editing.snapped(*y, self.shape[0]), "x": editing.snapped(*x, self.shape[1])}
        moved = self.rois[name].moved(**box)
        if moved != self.rois[name]:
            self.rois = self.rois.replaced(moved)

    def commit(self) -> None:
        """Remember the ROIs as they are, for undo."""
        self._history.add(self.rois)

    def _set(self, rois: RoiSet, selected: str | None = None) -> None:
        self.rois = rois
        if selected is not None:
            self.selected = selected
        elif self.selected not in rois.names:
            self.selected = rois.names[0] if len(rois) else ""
        self.commit()

    def type_box(self, name: str, text: str) -> None:
        """Put a ROI where somebody typed it, ``y0:y1, x0:x1``."""
        y, x = editing.typed(text, self.shape)
        self._set(self.rois.replaced(self.rois[name].moved(y=y, x=x)))

    def add(self, kind: str = "all") -> None:
        """Add a ROI in the middle of the image and select it."""
        self._set(*editing.added(self.rois, kind, self.shape))

    def remove(self, name: str) -> None:
        """Remove a ROI; the last one stays."""
        if len(self.rois) < 2:
            raise RoiError("the last ROI stays: there would be nothing to measure")
        self._set(editing.removed(self.rois, name))

    def rename(self, old: str, new: str) -> None:
        """Give a ROI another name."""
        self._set(editing.renamed(self.rois, old, new), new.strip() if self.selected == old else None)

    def duplicate(self, name: str) -> None:
        """Add a copy of a ROI and select it."""
        self._set(*editing.duplicated(self.rois, name, self.shape))

    def set_kind(self, name: str, kind: str) -> None:
        """Say what a ROI is for."""
        self._set(self.rois.replaced(as_kind(self.rois[name], kind, self.rois)))

    def set_background(self, name: str, backgrounds: tuple[str, ...]) -> None:
        """Say which ROIs give this one's background."""
        if name in backgrounds:
            raise RoiError(f"ROI {name!r} cannot be its own background")
        self._set(RoiSet([*self.rois.replaced(replace(self.rois[name], background=tuple(backgrounds)))]))

    def undo(self) -> None:
        """Take back the last change of the ROIs."""
        self._restore(self._history.undo())

    def redo(self) -> None:
        """Do again what was taken back."""
        self._restore(self._history.redo())

    def _restore(self, rois: RoiSet) -> None:
        self.rois = rois
        if self.selected not in rois.names:
            self.selected = rois.names[0]

    def load_rois(self, text: str) -> None:
        """Take the ROIs of a ROI file.

        Raises
        ------
        DocumentError, RoiError
            It is no ROI file, or a ROI does not lie on this detector.
        """
        try:
            document = json.loads(text)
        except (json.JSONDecodeError, RecursionError):
            raise DocumentError("the ROI file is not valid JSON") from None
        if not isinstance(document, dict) or document.get("format") != ROIS or document.get("version") != VERSION:
            raise DocumentError(f'the ROI file needs the lines "format": "{ROIS}" and "version": {VERSION}')
        rois = editing.inside(RoiSet.from_dict(document), self.shape)
        if not len(rois):
            raise DocumentError("the ROI file holds no ROI")
        self._set(rois, rois.names[0])

    def rois_text(self) -> str:
        """Return the ROI file of what is shown."""
        shape = (self.shape[0][1], self.shape[1][1])
        document = RoiSet(self.rois, shape, self.rois.extra).to_dict()
        return json.dumps({"format": ROIS, "version": VERSION, **document}, indent=2, ensure_ascii=False) + "\n"

    def set_key_frame(self) -> None:
        """Say that the selected ROI is here at the frame that is shown; between key frames it moves linearly."""
        roi = self.rois[self.selected]
        key = frame_key(self.store.data, self.frame)
        if key is None:
            raise RoiError("these frames have no numbers, so a ROI cannot be tied to one")
        kept = [one for one in roi.path or () if (one.key.measurement, one.key.scan, one.key.frame) != _same(key)]
        path = (*kept, KeyFrame(key, roi.y, roi.x))
        order = sorted(path, key=lambda one: resolve_key(self.store.data, one.key))
        self._set(self.rois.replaced(replace(roi, path=tuple(order))))

    def clear_path(self) -> None:
        """Let the selected ROI stand still again."""
        self._set(self.rois.replaced(replace(self.rois[self.selected], path=None)))

    # -- numbers ------------------------------------------------------------------------------------------------------

    def stale(self) -> tuple[str, ...]:
        """Names of the ROIs whose numbers are not those of what is shown."""
        loaded = self.store.loaded
        return tuple(
            roi.name
            for roi in self.rois
            if self._numbers.get(roi.name, (None,))[0] != self._fingerprint(roi.name, loaded)
        )

    def _fingerprint(self, name: str, loaded: int) -> tuple[object, ...]:
        return fingerprint(self.rois, name, self.active_correction, loaded)

    def request(self) -> Request | None:
        """Return what has to be measured now; None: nothing."""
        wanted, data = self.stale(), self.store.measurable()
        if not wanted or not data.sizes["time"]:
            return None
        rois = with_backgrounds(self.rois, wanted)
        return Request(data, rois, wanted, self.active_correction, dict(self.store.faults))

    def accept(self, request: Request, found: Answer) -> None:
        """Take an answer in; what was moved, renamed or removed meanwhile is asked for again by :meth:`stale`."""
        n_frames = request.data.sizes["time"]
        for name in request.wanted:
            if name in self.rois.names:
                key = fingerprint(request.rois, name, request.correction, n_frames)
                self._numbers[name] = key, found.series.sel(roi=[name])
        if found.remarks:
            self.message = found.remarks[0]
        self.updated = tuple(name for name in request.wanted if name in self.rois.names)
        self.numbers += 1

    def measure_now(self) -> None:
        """Measure what is stale, here and now."""
        if (request := self.request()) is not None:
            self.accept(request, answer(request))

    def numbers_of(self, name: str) -> xr.Dataset | None:
        """Return the time series of one ROI as far as it is measured, dims ``(time,)``."""
        found = self._numbers.get(name)
        return None if found is None else found[1].isel(roi=0)

    def result(self) -> xr.Dataset:
        """Return what goes into a file: the series, of a sample with its attenuation corrected."""
        return self.series

    def section_request(self) -> SectionRequest | None:
        """Return what cut-out and profiles need; None without a ROI."""
        if self.roi is None:
            return None
        return SectionRequest(self.store.around(self.frame), self.roi, self.active_correction)

    def kymograph_request(self) -> KymographRequest | None:
        """Return what the kymograph needs; None where nothing has been read yet."""
        data = self.store.measurable()
        if self.roi is None or not data.sizes["time"]:
            return None
        return KymographRequest(
            data, self.roi, self.active_correction, self.along, self.show, self.coordinates(), self.breaks()
        )

    def grow(self) -> None:
        """Take over frames that have come since; the newest one is shown where that is wished."""
        self.n_frames = self.store.n_frames
        if self.follow:
            self.frame = self.n_frames - 1

    @property
    def series(self) -> xr.Dataset:
        """ROI time series of everything shown: what ``measure`` returns for these ROIs and this correction.

        Raises
        ------
        RoiError
            No frame has been read yet.
        """
        data = self.store.measurable()
        if not data.sizes["time"]:
            raise RoiError("no frame has been read yet")
        request = Request(data, RoiSet(list(self.rois)), self.rois.names, self.active_correction, {})
        return masked(answer(request).series, self.store.faults)


def _same(key: Key) -> tuple[str | None, int | None, int | None]:
    return key.measurement, key.scan, key.frame


def limits_of(values: npt.NDArray[np.generic], *, log: bool, percentile: float = 99.9) -> tuple[float, float]:
    """Colour limits of a frame; on a logarithmic scale they begin below the smallest count.

    Examples
    --------
    >>> limits_of(np.array([[0, 1], [2, 100]]), log=True, percentile=100)
    (0.5, 100.0)
    """
    finite = np.asarray(values, dtype="float64")
    finite = finite[np.isfinite(finite)]
    if not finite.size:
        return (0.5, 1.0)
    top = float(np.percentile(finite, percentile))
    if log:
        positive = finite[finite > 0]
        low = 0.5 if not positive.size or positive.min() >= 1 else float(np.percentile(positive, 1)) / 2
        return (low, max(top, 2 * low))
    low = min(float(np.percentile(finite, 1)), top - 1e-9)
    return (low, max(top, low + 1e-6))


def _extent(image: xr.DataArray, axis: str) -> tuple[int, int]:
    first = int(image[axis].values[0]) if axis in image.coords else 0
    return first, first + image.sizes[axis]
