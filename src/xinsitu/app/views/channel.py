"""The wire between browser and server: who asks for which frame, who drags what, where the view goes."""

from __future__ import annotations

from importlib import resources

from bokeh.core.properties import Bool, Bytes, Float, Int, List, Tuple
from bokeh.core.properties import String as Text
from bokeh.model import DataModel
from bokeh.models import CustomJS, CustomJSTickFormatter


class Channel(DataModel):  # type: ignore[misc] # bokeh is not typed for us
    """Small values that go to and fro; the browser keeps one frame request on the way, never more."""

    ask = Tuple(
        Int, Int, Int, default=(0, 0, 0),
        help="frame that the browser wants, the number of the request, and how often somebody has gone back",
    )  # fmt: skip
    done = Tuple(Int, Int, default=(0, 0), help="frame that was sent, and the number of the request")
    goto = Tuple(
        Int, Int, Int, default=(0, -1, 0),
        help="frame that the server wants to show, after how many goings back if nobody asked for it, and a counter",
    )  # fmt: skip
    drawn = Tuple(
        Float, Float, Float, Float, Text, Int, default=(0, 0, 0, 0, "", 0),
        help="edges y, y, x, x drawn, the tool, and a counter",
    )  # fmt: skip
    outline = Tuple(List(Float), Int, default=([], 0), help="corners y, x, y, x of a polygon, and a counter")
    handles = List(Float, help="points y, x, y, x by which the shape of the selected ROI is changed")
    handle = Tuple(
        Int, Float, Float, Text, Int, default=(0, 0, 0, "", 0), help="handle, where it is, phase, and a counter"
    )
    tool = Tuple(Text, Int, default=("select", 0), help="tool that the server wants in the hand, and a counter")
    rename = Tuple(Text, Text, Int, default=("", "", 0), help="ROI, its new name, and a counter")
    chip = Tuple(Text, Text, Int, default=("", "", 0), help="ROI, what a click on it does, and a counter")
    regions = Text(default="", help="names, colours and hiding of the ROIs, as JSON")
    selected = Text(default="", help="name of the ROI that is selected")
    shape = Text(default="", help="its kind of shape; empty: a rectangle")
    drag = Tuple(Text, Text, Int, default=("", "", 0), help="ROI, phase of the drag, and a counter")
    key = Tuple(Text, Int, default=("", 0), help="key that was pressed, and a counter")
    click = Tuple(Text, Int, Int, default=("", 0, 0), help="figure that was clicked, frame there, and a counter")
    changes = Text(default="", help="the list of changes of attenuation, as JSON")
    numbers = Text(default="", help="what the panel says of the selected ROI at this frame, as JSON")
    track = Text(default="", help="events, segments and changes on the track of the slider, as JSON")
    looked = Int(default=-1, help="which of them is looked at")
    walk = Tuple(Text, Int, Int, default=("", 0, 0), help="what to do with a change of the list, and a counter")
    question = Text(default="", help="what a person is asked")
    reply = Tuple(Bool, Int, default=(False, 0), help="the answer, and a counter")
    factors = List(Float, help="what the counts of each frame are multiplied by as they are shown; empty: nothing")
    chosen = Tuple(Float, Float, Int, default=(0, 0, 0), help="ends of a window of the time axis, and a counter")
    save = Tuple(Text, Bool, Int, default=("", False, 0), help="entry of the menu, whether to write it, and a counter")
    beside = Bool(default=False, help="files are written where results go, instead of sent to the browser")
    file = Tuple(Text, Bytes, Int, default=("", b"", 0), help="name and content of a file to save, and a counter")
    text = Text(default="", help="the frame that is shown, in a line")
    known = Text(default="", help="all that is known of it")
    ping = Int(default=0, help="asks whether the server is there")
    pong = Int(default=0, help="the server's answer: the same number")
    kept = Text(default="", help="file that holds what nobody has saved; empty: everything is saved; -: none can")
    breaks = List(Int, help="positions before which curves are interrupted")
    shift = Bool(default=True, help="centre of mass from its first frames")
    boxes = Int(default=0, help="counts the changes of the boxes, so that the browser wires new ones")


def script(file: str, /, **arguments: object) -> CustomJS:
    """Return the JavaScript of the folder ``js`` as a callback."""
    return CustomJS(args=arguments, code=code(file))


def ticks() -> CustomJSTickFormatter:
    """Return what writes numbers at the ticks of a linear axis."""
    return CustomJSTickFormatter(code=code("ticks"))


def code(file: str) -> str:
    """Return the text of a file of the folder ``js``."""
    return resources.files("xinsitu.app").joinpath("js", f"{file}.js").read_text(encoding="utf-8")
