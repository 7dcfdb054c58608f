"""Slider, play, speed and step: everything happens in the browser, the server only sends frames."""

from __future__ import annotations

from bokeh.models import Button, Row, Slider, Spinner, TextInput, Toggle

from xinsitu.app.state.goto import FORMS

from .channel import Channel, script
from .drawing import Drawing

UNSEEN = "label { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }"
"""Labels that only a screen reader needs."""
LOW = ".bk-input { min-height: 26px; height: 26px; padding: 0 6px; } .bk-btn { padding: 0 6px; }"
"""As high as the buttons beside it, and no wider than it needs: what is left is the slider's."""
UNTITLED = ".bk-slider-title { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }"
"""The frame stands in the bar."""


class PlayerView(Drawing):
    """``slider`` is the one place that says which frame is wanted."""

    at = "player"

    def __init__(self, n_frames: int, channel: Channel, frame: int = 0) -> None:
        self.slider = Slider(
            name="frame_slider", tags=["tip:frame: drag, or use the arrow keys"],
            start=0, end=max(1, n_frames - 1), value=frame, step=1, title="frame", syncable=False,
            sizing_mode="stretch_width", margin=(2, 14, 0, 14), stylesheets=[UNTITLED],
        )  # fmt: skip
        self.toggle = Toggle(
            name="play",
            tags=["tip:play or pause (space)"],
            label="▶▶",
            button_type="primary",
            width=34,
            height=26,
            margin=(4, 2),
            syncable=False,
            stylesheets=[LOW],
        )
        self.goto = TextInput(
            name="goto", tags=[f"tip:type {FORMS}, and press Enter"],
            title="go to", stylesheets=[UNSEEN, LOW], placeholder="go to …", width=64, height=26,
            margin=(4, 6), syncable=True,
        )  # fmt: skip
        self.speed = Spinner(
            name="speed",
            tags=["tip:frames per second"],
            low=0.1,
            high=200,
            value=10,
            step=1,
            width=54,
            height=26,
            margin=(4, 2),
            syncable=False,
            title="frames/s",
            stylesheets=[UNSEEN, LOW],
        )
        back, forth = (
            Button(
                name=f"step{frames:+d}",
                tags=[f"tip:{tip}"],
                label=label,
                width=24,
                height=26,
                margin=(4, 1),
                stylesheets=[LOW],
            )
            for label, frames, tip in (("‹", -1, "previous frame (←)"), ("›", 1, "next frame (→)"))
        )
        ask = script("pump", channel=channel, slider=self.slider)
        self.slider.js_on_change("value", ask)
        channel.js_on_change("goto", script("goto", channel=channel, slider=self.slider))
        play = script("play", channel=channel, slider=self.slider, toggle=self.toggle, speed=self.speed)
        self.toggle.js_on_change("active", play)
        for button, frames in ((back, -1), (forth, 1)):
            button.js_on_click(script("step", slider=self.slider, frames=frames))
        self.root = Row(
            children=[self.slider, back, forth, self.toggle, self.speed, self.goto],
            sizing_mode="stretch_width",
            spacing=2,
        )

    def grow(self, n_frames: int) -> None:
        """Take over a larger number of frames."""
        self.slider.end = max(1, n_frames - 1)
