"""Where one person is: the frame, its colours, the time axis, and what is said. No word about how it is shown."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import param
import xarray as xr

from xinsitu.app.data.pixel_states import pixel_states
from xinsitu.app.data.source import Source
from xinsitu.app.data.store import FrameStore
from xinsitu.clock import in_zone
from xinsitu.errors import FrameError, XinsituError, collected, said_of
from xinsitu.physics.corrections.apply import Correction
from xinsitu.physics.corrections.plan import units_after
from xinsitu.plots.images import Show, changes
from xinsitu.plots.timeline import AXES, Timeline, breaks, timeline
from xinsitu.schema import UNKNOWN_ZONE, image_of, knows_utc

from . import roi_edits
from .corrections import Calibration, Corrections
from .first_rois import without_single_pixels
from .goto import find_frame

COLOURS = ("viridis", "cividis", "magma", "inferno", "plasma")
"""Colours that are even to the eye: equal steps of counts look equal."""


class View(param.Parameterized):  # type: ignore[misc] # param has no types
    """Frame, colours and time axis; while ``picking`` holds a text, a click on a curve says where something is."""

    frame = param.Integer(0, bounds=(0, None), doc="position of the frame that is shown")
    corrected = param.Boolean(False, doc="show corrected frames and measure them")
    corrections = param.Parameter(default=Corrections(), doc="what is done to them")
    log_image = param.Boolean(True, doc="logarithmic colours")
    colours = param.Selector(default="viridis", objects=list(COLOURS), doc="colours of image and kymograph")
    limits = param.Range((0.5, 1000.0), doc="colour limits")
    compare = param.Selector(default="values", objects=["values", "previous", "first", "slope"], doc="image less what")
    axis = param.Selector(default="elapsed", objects=list(AXES))
    follow = param.Boolean(False, doc="show the newest frame as it comes")
    n_frames = param.Integer(0)
    message = param.String("")
    failed = param.Boolean(False, doc="the message is of something that went wrong")
    each_frame = param.Boolean(False, doc="colour limits of each frame instead of those of the run")
    picking = param.String("", doc="what the next click on a curve is")
    window = param.Parameter(default=None, doc="part of the time axis in view, ((start, end),); None: all of it")
    part = param.Parameter(default=None, doc="part of the image in view, ((left, right), (bottom, top)); None: all")

    def __init__(self, store: FrameStore, *, correction: Correction | None = None) -> None:
        super().__init__()
        self.store = store
        self.corrections = Corrections.of(correction, store.source.correcting)
        self.calibration: Mapping[str, xr.DataArray] = {}
        self._take: Callable[[int], object] | None = None
        self._line: tuple[xr.Dataset, str, Timeline] | None = None
        self.corrected = correction is not None
        self.n_frames = store.n_frames
        image = image_of(store.data)
        self.shape: roi_edits.Shape = _extent(image, "y"), _extent(image, "x")
        if "frame" in self.axes and "elapsed" not in self.axes:
            self.axis = "frame"
        self._say_fault()
        self.fit_run()
        self.param.watch(self._to_newest, "follow")

    def _say_fault(self) -> None:
        """Say why there is no first frame."""
        try:
            self.image(0)
        except (XinsituError, OSError) as fault:
            self.message = said_of(fault)

    @property
    def source(self) -> Source:
        """What is explored."""
        return self.store.source

    # -- frames -------------------------------------------------------------------------------------------------------

    @property
    def active_correction(self) -> Correction | None:
        """What is done to frames now."""
        return self.correction if self.corrected else None

    @property
    def correction(self) -> Correction | None:
        """What is done to frames where they are corrected; None: nothing."""
        found: Correction | None = self.corrections.active
        return found

    def correct(self, corrections: Corrections) -> None:
        """Do something else to the frames, and show them so.

        Raises
        ------
        CorrectionError, RoiError
            It does not fit these frames; everything stays as it was.
        """
        with collected() as remarks, contextlib.suppress(FrameError, OSError):  # a bad frame is shown as such
            self.store.image(self.frame, corrections.active)
        self.param.update(corrections=corrections, corrected=True)
        if remarks:
            self.message = remarks[0]

    def calibrate(self, name: Calibration, text: str) -> None:
        """Take the flat field from a folder, or the mask from a file, that somebody typed or chose."""
        if text.strip():
            self.correct(self.corrections.calibrated(name, Path(text.strip()).expanduser(), self.source))

    def draw_background(self, y: tuple[float, float], x: tuple[float, float]) -> None:
        """Take the background from where the mouse drew it, edges between pixels in any order."""
        box = roi_edits.snapped(*y, self.shape[0]), roi_edits.snapped(*x, self.shape[1])
        self.correct(self.corrections.with_background((box,)))

    def type_background(self, text: str) -> None:
        """Take the background from regions that somebody typed, ``y0:y1, x0:x1; ...``; nothing: no background."""
        boxes = tuple(roi_edits.typed(one, self.shape) for one in text.split(";") if one.strip())
        self.correct(self.corrections.with_background(boxes))

    def image(self, position: int | None = None) -> xr.DataArray:
        """Frame that is shown, dims ``(y, x)``, or its change since another one as ``compare`` says.

        Raises
        ------
        XinsituError
            It cannot be read.
        """
        at = self.frame if position is None else position
        one, show = self.store.image(at, self.active_correction), self.compare
        if show == "values":
            return one
        if at == 0:
            return one.astype("float32") * np.nan if show != "first" else one.astype("float32") * 0
        return _change(one, self.store.image(0 if show == "first" else at - 1, self.active_correction), show)

    def states(self, position: int) -> npt.NDArray[np.uint8]:
        """Which pixels of a frame are masked, faulty or saturated, see :data:`.pixel_states.STATES`, dims ``(y, x)``.

        Raises
        ------
        XinsituError
            It cannot be read.
        """
        return pixel_states(self.store.around(position), self.active_correction)

    def fit_run(self) -> None:
        """Set the colour limits to what all of the run shows: a spot that is faint now has been bright, or will be."""
        frames = self.store.glimpse(self.active_correction)
        if len(frames):
            low, high = limits_of(frames, log=self.log_image)
            brightest = max(float(np.nanmax(without_single_pixels(frame), initial=0)) for frame in frames)
            self.limits = (low, max(high, brightest))

    def fit_limits(self, percentile: float = 99.9) -> None:
        """Set the colour limits to the frame that is shown; those of a change lie evenly about zero."""
        values = self.image().values
        if self.compare == "values":
            self.limits = limits_of(values, log=self.log_image, percentile=percentile)
        else:
            top = limits_of(np.abs(values), log=False, percentile=percentile)[1]
            self.limits = (-top, top)

    @property
    def unit(self) -> str:
        """What pixels are in, as they are measured: counts, or empty where they are ratios."""
        units = units_after(image_of(self.store.data), self.active_correction)
        return units if units == "counts" else ""

    def limit_bounds(self) -> tuple[float, float]:
        """How far the colour limits can reasonably go; on a logarithmic scale from a tenth of a count upwards."""
        low, high = self.limits
        if self.compare != "values":
            return min(2 * low, -1e-6), max(2 * high, 1e-6)
        if self.log_image:
            return min(0.1, low), max(float(self.store.data.attrs.get("count_cutoff") or 1e6), high)
        return min(0.0, low), max(2 * high, low + 1e-6)

    def calibrated(self, y: float, x: float) -> dict[str, float]:
        """Place of a pixel in reciprocal space, as far as explore was told a calibration."""
        found = {}
        for array in self.calibration.values():
            at = {dim: xr.DataArray(place) for dim, place in (("y", y), ("x", x)) if dim in array.dims}
            found[str(array.name)] = float(array.interp(at))
        return found

    def goto_text(self, text: str) -> None:
        """Show the frame that somebody typed: a number, a time of day, elapsed time; see :func:`find_frame`."""
        if text.strip():
            self.frame = find_frame(self.store.data, text, self.frame)

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

    # -- clicks on curves ---------------------------------------------------------------------------------------------

    def let_pick(self, what: str, take: Callable[[int], object]) -> None:
        """Let clicks on a curve say where something is, until :meth:`stop_picking`."""
        self._take, self.picking = take, what

    def pick(self, frame: int) -> None:
        """Take a click on a curve; without anything that waits for it, it only led to the frame."""
        if self._take is not None:
            self._take(frame)

    def stop_picking(self) -> None:
        """Let clicks on a curve only lead to the frame again."""
        self._take, self.picking = None, ""

    # -- time ---------------------------------------------------------------------------------------------------------

    @property
    def line(self) -> Timeline:
        """Time axis of the curves."""
        data, axis = self.store.data, self.axis
        if self._line is None or self._line[0] is not data or self._line[1] != axis:  # asked for many times a frame
            self._line = data, axis, timeline(data, x=axis)
        return self._line[2]

    @property
    def axes(self) -> tuple[str, ...]:
        """Axes that these frames can be shown against."""
        attributes = self.store.data.attrs
        if attributes.get("time_source") == "frame":
            return ("frame",)
        if attributes.get("time_zone_source") == UNKNOWN_ZONE:
            return ("elapsed", "local", "frame")
        return AXES if attributes.get("time_zone") else ("elapsed", "utc", "frame")

    def places_of(self, times: npt.NDArray[np.datetime64]) -> npt.NDArray[np.float64]:
        """Places of the stamps of frames on the time axis, as :meth:`coordinates` has them."""
        line = self.line
        # the axis is that of the middle of exposures, stamps are those of their begins or ends
        times = times + (line.times[0] - self.store.data["time"].values[0])
        if line.dated:
            return np.asarray(in_zone(times, line.zone).astype("datetime64[us]").astype("int64") / 1e3)
        if line.axis == "frame":
            known = line.times.astype("int64")
            return np.asarray(np.interp(times.astype("int64"), known, np.asarray(line.values, dtype="float64")))
        return np.asarray((times - line.start) / np.timedelta64(1, "s"), dtype="float64")

    def breaks(self) -> npt.NDArray[np.int64]:
        """Positions before which curves are interrupted."""
        times = self.store.data["time"].values
        return breaks(self.store.data, (times - times[0]) / np.timedelta64(1, "s"))

    def frame_line(self, position: int | None = None) -> str:
        """Say which frame this is, in a short line: its place, its number, the time of day and since the first one."""
        data, at = self.store.data, self.frame if position is None else position
        number = f" (no. {data['frame'].values[at]})" if "frame" in data.coords and data["frame"].dims else ""
        parts = [f"{at + 1:,} of {self.n_frames:,}{number}"]
        if data.attrs.get("time_source") != "frame":
            times = np.asarray(data["time"].values[[0, at]], dtype="datetime64[ns]")
            zone = str(data.attrs.get("time_zone", "")) if knows_utc(data) else ""
            local = in_zone(times, zone)[1] if zone else times[1]
            clock = np.datetime_as_string(local, unit="s")[11:]
            parts.append(f"{clock} {zone or ('UTC' if knows_utc(data) else 'on the detector’s clock')}")
            minutes, seconds = divmod(int((times[1] - times[0]) / np.timedelta64(1, "s")), 60)
            hours, minutes = divmod(minutes, 60)
            parts.append(f"+{hours}:{minutes:02d}:{seconds:02d}" if hours else f"+{minutes:02d}:{seconds:02d}")
        return "  ·  ".join(parts)

    def frame_text(self, position: int | None = None) -> str:
        """Say what is known of a frame: measurement, number, stamp, UTC and local time, instrument. Plain text."""
        pixels = [name for name in self.store.data.data_vars if {"y", "x"} & set(self.store.data[name].dims)]
        data = self.store.data.drop_vars(pixels).isel(time=self.frame if position is None else position)
        parts = [f"{name} {data[name].item()}" for name in ("measurement", "scan", "frame") if name in data.coords]
        if str(data.get("stamp", xr.DataArray("")).item()):
            parts.append(f"stamp {data['stamp'].item()}")
        if self.store.data.attrs.get("time_source") != "frame":
            time = np.asarray([data["time"].values], dtype="datetime64[ns]")
            known = knows_utc(self.store.data)
            parts.append(f"{np.datetime_as_string(time[0], unit='ms')} {'UTC' if known else 'on the detector’s clock'}")
            if known and (zone := str(self.store.data.attrs.get("time_zone", ""))):
                parts.append(f"{np.datetime_as_string(in_zone(time, zone)[0], unit='ms')} {zone}")
        if name := str(self.store.data.attrs.get("instrument", "")):
            parts.append(f"{name} ({self.store.data.attrs.get('instrument_source', 'given')})")
        return "  ·  ".join(parts)

    def direction(self, axis: str) -> str:
        """Name of a detector axis for people: what the instrument calls it, otherwise y or x."""
        image = image_of(self.store.data)
        name = str(image[axis].attrs.get("long_name", "")) if axis in image.coords else ""
        return name if name and not name.startswith("detector") else axis

    def measurements(self) -> dict[str, int]:
        """Names of the measurements, and the position of the first frame of each."""
        found, first = {}, 0
        for part in self.source.parts:
            name = str(part["measurement"].item()) if "measurement" in part.coords else self.source.name
            found[name] = first
            first += part.sizes["time"]
        return found

    def grow(self) -> None:
        """Take over frames that have come since; the newest one is shown where that is wished."""
        self.frame = min(self.frame, self.store.n_frames - 1)  # one that is written anew is none for a while
        self.n_frames = self.store.n_frames
        self._to_newest()

    def _to_newest(self, *_: object) -> None:
        """Show the newest frame, where that is wished: at once, not when the next one comes."""
        if self.follow and self.n_frames:
            self.frame = self.n_frames - 1


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


def _change(one: xr.DataArray, other: xr.DataArray, show: Show) -> xr.DataArray:
    """Change between two frames ``(y, x)``; ``slope`` is per second."""
    pair = np.stack([np.asarray(frame.values, dtype="float64").ravel() for frame in (other, one)])
    seconds = np.array([0.0, float((one["time"].values - other["time"].values) / np.timedelta64(1, "s"))])
    values = changes(pair, seconds, show)[1].reshape(one.shape)
    return one.copy(data=values.astype("float32"))


def _extent(image: xr.DataArray, axis: str) -> tuple[int, int]:
    first = int(image[axis].values[0]) if axis in image.coords else 0
    return first, first + image.sizes[axis]
