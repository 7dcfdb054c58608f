"""One browser tab: a model, its views, and the jobs between them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from bokeh.document import Document
from bokeh.models import Div
from bokeh.plotting import figure

from xinsitu.app.state import unsaved
from xinsitu.app.state.kinds import color_of
from xinsitu.app.state.measuring import Answer, Request, answer
from xinsitu.app.state.model import ExplorerModel
from xinsitu.app.views.change_list import ChangeList
from xinsitu.app.views.channel import Channel
from xinsitu.app.views.curves_view import CurvesView
from xinsitu.app.views.drawing import Drawing, Zoom, watch
from xinsitu.app.views.evidence import EvidenceView
from xinsitu.app.views.further import FurtherView
from xinsitu.app.views.image import ImageView
from xinsitu.app.views.kymograph import KymographView
from xinsitu.app.views.player import PlayerView
from xinsitu.app.views.result import ResultView
from xinsitu.app.views.roi_boxes import RoiView
from xinsitu.app.views.section import SectionView
from xinsitu.app.views.track import TrackView
from xinsitu.errors import XinsituError, said_of

from .hands import in_reach, wire
from .jobs import Latest, Rest
from .keeping import Keeping
from .messages import in_one_message, on_next_tick

Value = TypeVar("Value")
Seen = tuple[npt.NDArray[Any], npt.NDArray[np.uint8]]
"""A frame, and the states of its pixels."""
POLL = 100
"""Milliseconds between two looks at how far the reading is; a look that finds nothing new sends nothing."""
GATHER = 4
"""Milliseconds in which the four edges of a box arrive, each as a message of its own."""
PAUSE = 0.3
"""Seconds between two measurements while frames are read, or as long as one of all frames took: reading goes on."""
BETWEEN = 2.0
"""Seconds between two kymographs while frames come: each costs what the curves do, and these go before."""
REST = 120
"""Milliseconds without a new frame, or new numbers, after which what is small print is drawn."""


class Session:
    """Connects a model with its views in a Bokeh document.

    All of it runs on the document's event loop; only what :class:`Latest` is given as ``work`` runs on the pool.
    """

    def __init__(self, model: ExplorerModel, document: Document, pool: Executor) -> None:
        self.model, self.document, self.pool = model, document, pool
        self.channel = Channel(name="channel", ask=(model.view.frame, 0, 0), done=(model.view.frame, 0))
        self.image = ImageView(model)
        self.player = PlayerView(model.view.n_frames, self.channel, model.view.frame)
        self.curves = CurvesView(model, self.channel)
        self.kymograph = KymographView(model, self.curves)
        self.further = FurtherView(model, self.curves, lambda one: in_reach(self, one))
        self.section = SectionView(model, self.channel)
        self.evidence = EvidenceView(model)
        self.result = ResultView(model, self.curves)
        self.rois = RoiView(model, self.image.figure, self.channel, self._moved)
        self.views: tuple[Drawing, ...] = (
            self.image, self.player, self.curves, self.kymograph, self.further, self.section, self.evidence,
            self.result, self.rois, ChangeList(model, self.channel), TrackView(model, self.channel),
            Zoom(model, "window", (self.curves.x_range,)),
            Zoom(model, "part", (self.image.figure.x_range, self.image.figure.y_range)),
        )  # fmt: skip
        self.frames: Latest[int, Seen] = self._latest(self._wanted, self._image, self._arrived, self._no_image)
        self.measuring: Latest[Request, Answer] = self._latest(self._request, answer, self._measured, self._fault)
        self.drawing: dict[Drawing, Latest[Any, Any]] = {
            view: self._job(view, view.work) for view in self.views if view.work is not None
        }
        aside = Keeping(model, self.channel, lambda text: self.say(text))
        self.keeping: Latest[tuple[Path, str], None] = self._latest(
            aside.at_risk, lambda kept: unsaved.keep(*kept), lambda kept, _: aside.is_kept(kept), aside.failed
        )
        self.at_rest: list[Callable[[], object]] = []
        self.at_progress: list[Callable[[], object]] = []
        self.at_rest.append(self.keeping.ask)
        self._frame_rest = self._resting(lambda: self._draw(view for view in self.drawing if view.of_frame))
        self._numbers_rest = self._resting(self._measurements)
        self._measured_frames, self._begun, self._free_at, self._rest_at, self._backs = 0, 0.0, 0.0, 0.0, 0
        self._gathering, self._due, self._number, self._asked, self._seen = False, False, 0, 0, (-1, -1, 0, "")
        self._left_out: tuple[str, ...] = ()
        self.curves.below = [self.kymograph.figure]
        self.further.place()
        self.channel_holder = Div(visible=False, tags=[self.channel], name="channel_holder")
        self._regions()
        wire(self)
        self._watch()

    @property
    def figures(self) -> tuple[figure, ...]:
        """All figures of the page that have its colours and a name of their own."""
        return tuple(one for view in self.views for one in view.figures.values())

    @property
    def jobs(self) -> tuple[Latest[Any, Any], ...]:
        """All that is done on threads of the pool."""
        return (self.frames, self.measuring, self.keeping, *self.drawing.values())

    def _job(self, view: Drawing, work: Callable[[Any], Any]) -> Latest[Any, Any]:
        def failed(fault: Exception) -> None:
            try:
                view.failed(fault)
            except Exception as said:  # noqa: BLE001 - whatever went wrong is said, and the app goes on
                self._fault(said)

        return self._latest(view.request, work, lambda _, found: view.take(found), failed)

    def _latest(self, collect: Any, work: Any, apply: Any, fault: Any) -> Latest[Any, Any]:  # noqa: ANN401 - as Latest
        return Latest(
            collect=collect, work=work, apply=apply, fault=fault, pool=self.pool,
            schedule=self._next,
        )  # fmt: skip

    def _next(self, action: Callable[[], object]) -> None:
        """Do something on the next tick, from any thread; what it changes is one message."""
        on_next_tick(self.document, action)

    def _resting(self, action: Callable[[], object]) -> Rest:
        return Rest(action, lambda act: self.document.add_timeout_callback(in_one_message(self.document, act), REST))

    def start(self) -> None:
        """Show the first frame and measure."""
        self.document.add_periodic_callback(in_one_message(self.document, self.poll), POLL)
        if self.model.curves.result is not None:  # of a view that was there before
            self.result.update()
        self.frames.ask()
        self.measuring.ask()
        self.rest()

    def close(self) -> None:
        """Drop everything that is still being done."""
        for job in self.jobs:
            job.close()

    # -- what a person does -------------------------------------------------------------------------------------------

    def dragged(self, name: str, phase: str) -> None:
        """Select what is taken into the hand; put down, it snaps to the pixels and can be taken back."""
        if phase == "pan:start":
            if name in self.model.regions.rois.names:
                self.model.regions.selected = name
        else:
            self.rois.collect()
            self.model.regions.commit()
            self.rois.update()
            self.rest()

    def reshaped(self, number: int, y: float, x: float, phase: str) -> None:
        """Let the selected ROI follow one of its handles, or a brush; put down, that can be taken back."""
        if phase == "corner":
            self.do(lambda: self.model.regions.change_corner(number, y, x))
            return
        if phase.startswith("paint"):
            self.model.regions.paint(y, x, begins=phase == "paint:start")
        else:
            self.model.regions.move_handle(number, y, x)
        if phase.endswith(":end"):
            self.model.regions.commit()
            self.rois.update()
            self.rest()

    def _moved(self) -> None:
        """Measure once all edges of a box have arrived."""

        def gathered() -> None:
            self._gathering = False
            self.measuring.ask()

        if not self._gathering:
            self._gathering = True
            self.document.add_timeout_callback(gathered, GATHER)

    def do(self, action: Callable[[], object]) -> None:
        """Do what a person asked for, on the next tick; what xinsitu refuses is said, and the app goes on.

        Panel's widgets speak up without the lock that Bokeh's models want; the next tick has it.
        """

        def act() -> None:
            self.model.view.param.update(message="", failed=False)
            try:
                action()
            except Exception as fault:  # noqa: BLE001 - whatever went wrong is said, and the app goes on
                self._fault(fault)
            self.rest()

        self._next(act)

    def later(self, work: Callable[[], Value], take: Callable[[Value], object]) -> None:
        """Do something that takes a while on the pool, and take over what comes of it on the event loop."""
        document = self.document  # the session forgets it when the tab is closed

        def back(done: Future[Value]) -> None:
            if document.session_context is not None:  # otherwise the tab was closed meanwhile
                self.do(lambda: take(done.result()))

        self.pool.submit(work).add_done_callback(back)

    def say(self, text: str) -> None:
        """Say something to the person, from anywhere."""
        self.do(lambda: self.model.view.param.update(message=text))

    # -- model to views -----------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Ask for what has to be read or measured; what is drawn, each view watches by itself."""
        model = self.model
        watch(model.regions, self._rois_changed, "rois", "selected")
        watch(model.regions, self._regions, "rois", "selected", "hidden")
        watch(model.regions, self.rest, "selected")
        watch(model.view, self._fit, "each_frame", "compare", "corrected", "corrections")
        watch(model.view, self._correction_changed, "corrected", "corrections")
        watch(model.view, self.frames.ask, "compare")
        watch(model.view, self.rest, "axis")
        watch(model.view, lambda: self._frame_changed(model.view.frame), "frame")
        watch(model.attenuation, self.rest, "changes", "scaled")
        watch(model.cutouts, self.rest, "along", "own_axes", "show")
        watch(model.further, self.rest, "further")

    def _rois_changed(self) -> None:
        if not self.curves.current:
            with self.document.models.freeze():  # Bokeh walks through all models for each new one otherwise
                self.curves.update()
                self.rois.update()
        elif not self._dragging:
            self.rois.update()
        self.measuring.ask()

    def _regions(self) -> None:
        """Tell the page of names, colours and hiding, where these have changed."""
        rois = self.model.regions.rois
        told = [
            {"name": roi.name, "color": color_of(roi, at), "hidden": roi.name in self.model.regions.hidden}
            for at, roi in enumerate(rois)
        ]
        shape = None if self.model.regions.roi is None else self.model.regions.roi.geometry
        self.channel.update(
            regions=json.dumps(told), selected=self.model.regions.selected, shape="" if shape is None else shape.kind
        )

    def _fit(self) -> None:
        """Set the colour limits anew: other things are shown."""
        whole = self.model.view.compare == "values" and not self.model.view.each_frame
        if whole:
            self.model.view.fit_run()
        else:
            self.model.view.fit_limits()

    _dragging = False

    def _correction_changed(self) -> None:
        self.rois.background()
        self.frames.ask()
        self.measuring.ask()
        self.rest()

    def _frame_changed(self, frame: int) -> None:
        """Let the slider follow a model that went to another frame by itself; it asks for the image."""
        if any(roi.path for roi in self.model.regions.rois):
            self.rois.update()
        if frame != self._asked:
            unasked = self.model.view.follow and frame == self.model.view.n_frames - 1
            self.channel.goto = (frame, self._backs if unasked else -1, self.channel.goto[2] + 1)

    def rest(self) -> None:
        """Do what waits until the mouse rests: kymograph, cut-out, profiles."""
        self._draw(self.drawing)
        for one in self.at_rest:
            one()

    def _draw(self, views: Iterable[Drawing]) -> None:
        for view in views:
            self.drawing[view].ask()

    # -- frames -------------------------------------------------------------------------------------------------------

    def _wanted(self) -> int:
        before = self._backs
        frame, self._number, self._backs = self.channel.ask
        self._asked = min(max(frame, 0), self.model.view.n_frames - 1)
        if self._backs > before:
            self.model.view.follow = False  # somebody scrolls back: the last frame no longer runs away from under them
        self.model.view.frame = self._asked
        return self._asked

    def _image(self, frame: int) -> Seen:
        return np.asarray(self.model.view.image(frame).values), self.model.view.states(frame)

    def _arrived(self, frame: int, seen: Seen) -> None:
        self.image.show(*seen)
        if self.model.view.each_frame:
            self.model.view.fit_limits()
        self._done(frame)

    def _no_image(self, fault: Exception) -> None:
        self.image.show_fault(str(fault))
        self._done(self._asked)

    def tell(self) -> None:
        """Say which frame is shown; the one that is wanted may have gone on since."""
        frame = min(self.channel.done[0], self.model.view.n_frames - 1)
        self.channel.update(known=self.model.view.frame_text(frame), text=self.model.view.frame_line(frame))

    def _done(self, frame: int) -> None:
        self.channel.done = (frame, self._number)
        self.tell()
        self._frame_rest.ask()  # cut-out and profiles follow when the frame has rested, not while it plays

    # -- numbers ------------------------------------------------------------------------------------------------------

    def _request(self) -> Request | None:
        self._dragging, self._begun = True, monotonic()
        self.rois.collect()
        self._dragging = False
        return self.model.numbers.request()

    def _measured(self, request: Request, found: Answer) -> None:
        self.model.numbers.accept(request, found)
        self._free_at = monotonic() + (PAUSE if found.known else max(PAUSE, monotonic() - self._begun))
        everything = self.model.attenuation.scaled and self.model.attenuation.changes
        for name in self.model.regions.rois.names if everything else self.model.numbers.updated:
            self.curves.numbers(name)
        self._numbers_rest.ask()
        if self.model.numbers.stale() and self.model.store.complete:
            self.measuring.ask()

    def _measurements(self) -> None:
        """Draw what was measured over kymograph and profiles, and sound the alarm: after the curves."""
        for view in self.views:
            view.measured()
        for one in self.at_progress:
            one()

    def _fault(self, fault: Exception) -> None:
        said = said_of(fault) if isinstance(fault, XinsituError | OSError) else f"{type(fault).__name__}: {fault}"
        self.model.view.param.update(message=said, failed=True)

    # -- as time goes by ----------------------------------------------------------------------------------------------

    def poll(self) -> None:
        """Take over what was read, or has come, since the last look."""
        store = self.model.store
        if (left_out := store.source.left_out) != self._left_out:
            self._left_out = left_out
            self.model.view.message = f"not shown: {'; '.join(left_out)}"
        seen = store.loaded, store.n_frames, store.version, store.trouble
        if self._due and self.measuring.idle and monotonic() >= self._rest_at:
            self._due, self._rest_at = False, monotonic() + BETWEEN
            self.rest()
        if seen == self._seen:
            return
        for one in self.at_progress:
            one()
        if store.version != self._seen[2]:  # the frame that is shown may be another now
            self.frames.ask()
        grown, self._seen = store.n_frames != self.model.view.n_frames, seen
        if grown:
            self.player.grow(store.n_frames)  # before the model goes to the newest one
            self.model.view.grow()
            self.curves.axis(grown=True)
        more = store.loaded > self._measured_frames and self.measuring.idle and monotonic() >= self._free_at
        if store.complete or more:  # not at every new block
            self._measured_frames = store.loaded
            self.measuring.ask()
        self._due = self._due or store.complete
