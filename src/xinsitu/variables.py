"""Variables that know what becomes of them: frames that hold counts, remarks that are heard where they are computed.

Whoever computes a Dataset with xarray loads its variables in his own process, whatever threads, processes or cluster
did the work. These kinds of variable speak there, once their numbers are known; block functions never do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import dask
import dask.array as da
import numpy as np
import numpy.typing as npt
import xarray as xr
from dask.highlevelgraph import HighLevelGraph
from xarray.core.indexing import ExplicitlyIndexed

from xinsitu.errors import SchemaError, warn
from xinsitu.kernels import DARK, UNREAD, marked
from xinsitu.schema import APPLIED, COUNTS, QUANTITIES, RATIO

SAID_LATER = "remarks"
"""Encoding of lazy frames: a delayed text of what there is to say of them when they are written."""
Bools = npt.NDArray[np.bool_]
_NO_COUNTS = frozenset({"background", "normalise", "dark", "background_image"})
"""Steps of a correction behind which nothing is a count."""


class Heard(xr.Variable):
    """A variable that says what there is to say of its values when these are loaded.

    Selecting, transposing, chunking, copying and loading give a variable of the same kind; whatever makes other
    numbers of it, or writes into it, gives a plain one.
    """

    __slots__ = ()

    def remarks(self, values: np.ndarray[Any, Any]) -> Iterator[str]:
        """Sentences on loaded values."""
        raise NotImplementedError

    def say(self) -> Self:
        """Say it now, of values in memory."""
        for text in self.remarks(np.asarray(self._data)):
            warn(text)
        return self

    def _touch(self) -> None:
        """Become a plain variable without a file behind it: it is what somebody made of it."""
        self.__class__, self._encoding = xr.Variable, None  # type: ignore[assignment]

    @property
    def values(self) -> np.ndarray[Any, Any]:
        """The numbers; loaded if need be, and spoken of then."""
        found = super().values
        if not isinstance(self._data, np.ndarray):
            for text in self.remarks(np.asarray(found)):
                warn(text)
        return found

    @values.setter
    def values(self, values: Any) -> None:  # noqa: ANN401 - as in xarray
        self._touch()
        self.values = values

    @property
    def data(self) -> Any:  # noqa: ANN401 - as in xarray
        """The array, lazy or not."""
        return super().data

    @data.setter
    def data(self, data: Any) -> None:  # noqa: ANN401 - as in xarray
        before = self._data
        loaded = not isinstance(before, np.ndarray) and not dask.is_dask_collection(data)
        persisted = dask.is_dask_collection(data) and getattr(before, "name", None) == data.name
        wrapped = isinstance(data, ExplicitlyIndexed)
        if not (loaded or persisted or wrapped):
            self._touch()
        xr.Variable.data.fset(self, data)  # type: ignore[attr-defined]
        if loaded and not wrapped and isinstance(self._data, np.ndarray):
            self.say()

    def load(self, **kwargs: Any) -> Self:  # noqa: ANN401 - as in xarray
        """Load the numbers, and speak of them."""
        lazy = not isinstance(self._data, np.ndarray)
        super().load(**kwargs)
        return self.say() if lazy else self

    def _copy(self, deep: bool = True, data: Any = None, memo: dict[int, Any] | None = None) -> Any:  # noqa: ANN401
        copied = super()._copy(deep, data, memo)
        if data is not None:
            copied._touch()
        return copied

    def to_base_variable(self) -> Self:
        """Return a variable of this kind: it is no index, of which xarray wants to be rid here."""
        return self._replace()

    def coarsen(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as in xarray
        """Coarsen, which makes other numbers."""
        return plain(self).coarsen(*args, **kwargs)

    def pad(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as in xarray
        """Pad, which adds numbers."""
        return plain(self).pad(*args, **kwargs)

    def __setitem__(self, key: Any, value: Any) -> None:  # noqa: ANN401 - as in xarray
        self._touch()
        self[key] = value


def plain(variable: Any) -> Any:  # noqa: ANN401 - xarray's own types are narrower than its arrays
    """Return a variable of xarray's own kind with the same data."""
    return xr.Variable(variable.dims, variable._data, variable.attrs, variable.encoding, fastpath=True)


class Remarks(Heard):
    """A text, one sentence a line."""

    __slots__ = ()

    def remarks(self, values: np.ndarray[Any, Any]) -> Iterator[str]:
        """Each line."""
        yield from (line for text in values.ravel().tolist() for line in str(text).splitlines())


class Frames(Heard):
    """Frames ``(time, y, x)``, some of which may turn out to be NaN when they are read or corrected."""

    __slots__ = ()

    def remarks(self, values: np.ndarray[Any, Any]) -> Iterator[str]:
        """How many frames are NaN, and why."""
        if values.ndim != 3 or values.dtype.kind != "f" or not values.size:
            return
        called = Called(None, source=str(self.encoding.get("source", "")))
        yield from remarks_on_frames(marked(values, UNREAD), marked(values, DARK), called)


class Counted(Frames):
    """Frames of counts that nobody has calculated with, whatever their attributes say.

    xarray keeps attributes through arithmetic, so ``units="counts"`` stays where nothing is a count any more; this kind
    of variable does not.
    """

    __slots__ = ()


FROM_READER = "xinsitu-image-"
"""What the names of the chunks of opened frames begin with."""
FROM_CORRECT = "xinsitu-counts-"
"""What those of counts that were corrected begin with; the fingerprint of the correction follows."""
_SELECTING = ("getitem-", "rechunk-merge-", "rechunk-split-", "concatenate-", "transpose-")
"""Names of the steps of a dask graph that make no other numbers."""


def counted(variable: xr.Variable) -> bool:
    """Whether a variable holds frames of counts with which nobody has calculated.

    xarray puts parts together from their bare arrays (``concat``, ``combine_by_coords``), so that a plain variable
    comes out. Where they are lazy, the graph still says that all are what our reader gave, or what one and the same
    correction made of counts, or selections of it. NumPy arrays say nothing: what was joined in memory does not count.

    Examples
    --------
    >>> frames = as_frames(xr.DataArray(np.ones((2, 3, 4), "float32"), dims=("time", "y", "x")))
    >>> counted(frames.variable), counted((frames + 1).variable)
    (True, False)
    """
    if isinstance(variable, Counted):
        return True
    data: Any = variable._data
    graph = getattr(data, "dask", None)
    if not isinstance(graph, HighLevelGraph):
        return False
    waiting, seen, origins = [str(data.name)], set(), set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if name.startswith((FROM_READER, FROM_CORRECT)):
            origins.add(FROM_READER if name.startswith(FROM_READER) else name.rpartition("-")[0])
            continue
        behind = graph.dependencies.get(name, set())
        if not behind or not name.startswith(_SELECTING):
            return False
        waiting += behind
    return len(origins) == 1


def applied_to(image: xr.DataArray) -> tuple[str, ...]:
    """Names of the steps that an image has been through."""
    return tuple(str(image.attrs.get(APPLIED, "")).split())


def units_of(image: xr.DataArray) -> str:
    """Units of an image: its own, else counts for whole numbers; empty where nobody can know."""
    return str(image.attrs.get("units", COUNTS if image.dtype.kind in "iu" else ""))


def says_counts(image: xr.DataArray) -> bool:
    """Whether its attributes call an image counts, but for a flat field; xarray keeps them through arithmetic."""
    return units_of(image) == COUNTS and not _NO_COUNTS & set(applied_to(image))


def holds_counts(image: xr.DataArray) -> bool:
    """Whether pixels are what was counted, but for a flat field: then their noise is known.

    They are frames that our reader or :func:`~xinsitu.correct` made and with which nobody has calculated since, or
    whole numbers of somebody else. Whole numbers that still have the stamps or the name of our frames were read; where
    xarray has dropped what it knew of their file (their encoding), it has calculated with them.

    Examples
    --------
    >>> image = xr.DataArray(np.ones((2, 3, 4), "int32"), dims=("time", "y", "x"))
    >>> holds_counts(image), holds_counts(image.assign_attrs(long_name="detector frames"))
    (True, False)
    """
    if not says_counts(image):
        return False
    ours = "stamp" in image.coords or image.attrs.get("long_name") == QUANTITIES["image"].long_name
    return (image.dtype.kind in "iu" and (not ours or bool(image.encoding))) or counted(image.variable)


def as_written(image: xr.DataArray) -> xr.DataArray:
    """Return frames with units that are true, and say where they were not: a file has nothing else to tell by."""
    if not says_counts(image) or holds_counts(image):
        return image
    warn("the image says counts, but somebody has calculated with it: the file says units 1, no longer counts")
    return image.assign_attrs(units=RATIO)


def remarks_on_frames(unread: Bools, dark: Bools, called: Called | None = None) -> list[str]:
    """Sentences on frames that became NaN: ``unread`` ones, and ``dark`` ones without a background to divide by.

    Examples
    --------
    >>> remarks_on_frames(np.array([False, True]), np.array([False, False]), Called(np.array([7, 8]), "time1"))[0]
    '1 of 2 frames are NaN because they cannot be read (first: time1 frame 8): files changed, damaged, removed or not \
there for a worker'
    """
    texts = []
    if unread.any():
        first = "" if called is None else called.first(int(np.argmax(unread)))
        texts.append(
            f"{unread.sum()} of {len(unread)} frames are NaN because they cannot be read{first}: files changed, "
            "damaged, removed or not there for a worker"
        )
    if dark.any():
        texts.append(f"the background is zero in {dark.sum()} of {len(dark)} frames; their values are NaN")
    return texts


@dataclass(frozen=True)
class Called:
    """What frames are called: their numbers, the measurement's name, and the folder or file that they come from."""

    numbers: npt.NDArray[Any] | None
    measurement: str = ""
    source: str = ""

    @classmethod
    def of(cls, data: xr.Dataset | xr.DataArray) -> Called:
        """Return what a measurement calls its frames."""
        number, name = data.coords.get("frame"), data.coords.get("measurement")
        if number is not None and (number.dims != ("time",) or dask.is_dask_collection(number)):
            number = None
        image = data["image"] if isinstance(data, xr.Dataset) and "image" in data else data
        source = data.encoding.get("source") or image.encoding.get("source")
        return cls(
            None if number is None else number.values,
            "" if name is None or name.dims else str(name.values),
            str(source or ""),
        )

    def first(self, position: int) -> str:
        """Say in brackets which frame is the first one, and in which folder or file."""
        number = "" if self.numbers is None else f"first: {self.measurement} frame {self.numbers[position]}"
        said = ", ".join(filter(None, (" ".join(number.split()), f"in {self.source}" if self.source else "")))
        return f" ({said})" if said else ""


def joined_remarks(said: Sequence[tuple[str, xr.Variable]]) -> Remarks:
    r"""Remarks of all parts behind their names, the same of several once; of lazy ones heard when they are loaded.

    Examples
    --------
    >>> parts = [(name, xr.Variable((), "few counts")) for name in ("time1", "time2")]
    >>> str(joined_remarks(parts).values)
    'time1, time2: few counts'
    """
    names, texts = [name for name, _ in said], [one.data for _, one in said]
    if any(map(dask.is_dask_collection, texts)):
        text = dask.delayed(_in_one, pure=True)(names, *texts)
        return Remarks((), da.from_delayed(text, (), object, meta=np.array("", object)), said[0][1].attrs)
    return Remarks((), _in_one(names, *texts), said[0][1].attrs)


def _in_one(names: Sequence[str], *texts: object) -> np.ndarray[Any, Any]:
    """All lines, each once, as an array of one text."""
    where: dict[str, list[str]] = {}
    for name, text in zip(names, texts, strict=True):
        for line in str(text).splitlines():
            where.setdefault(line, []).append(name)
    lines = [f"{', '.join(filter(None, names))}: {line}".removeprefix(": ") for line, names in where.items()]
    return np.array("\n".join(lines), object)


def spoken(array: xr.DataArray) -> xr.DataArray:
    """Return an array that is in memory, and say what there is to say of it."""
    if isinstance(array.variable, Heard):
        array.variable.say()
    return array


def with_variable(array: xr.DataArray, variable: xr.Variable) -> xr.DataArray:
    """Return the DataArray with another variable, coordinates and name kept."""
    name = array.name if array.name is not None and array.name not in array.coords else "image"
    return xr.Dataset({name: variable}, coords=array.coords)[name].rename(array.name)


def as_frames(image: xr.DataArray, kind: type[Frames] = Counted) -> xr.DataArray:
    """Return frames as ones that hold counts, or as ones that do not (``Frames``); coordinates and name kept."""
    variable: Any = image.variable
    return with_variable(image, kind(variable.dims, variable._data, variable.attrs, variable.encoding))


def held_elsewhere(image: xr.DataArray, data: Any) -> xr.DataArray:  # noqa: ANN401 - NumPy or dask
    """Return the same frames from another place (memory, a copy on disc): what is known of their numbers stays known.

    Examples
    --------
    >>> frames = as_frames(xr.DataArray(np.ones((2, 3, 4), "float32"), dims=("time", "y", "x")))
    >>> type(held_elsewhere(frames, frames.values).variable).__name__
    'Counted'
    """
    variable: Any = image.variable
    kind = next((kind for kind in (Counted, Frames) if isinstance(variable, kind)), xr.Variable)
    return with_variable(image, kind(variable.dims, data, variable.attrs, variable.encoding))


def check_alike(other: xr.DataArray | None, data: xr.DataArray, what: str, *, along: str | None = None) -> None:
    """Raise one sentence where an array does not go with the data: other dims, sizes or labels.

    Parameters
    ----------
    other
        What goes with the data, such as its errors; None goes with everything.
    what
        What the array is called.
    along
        A dimension that it must have.

    Raises
    ------
    SchemaError
        It does not go with the data.

    Examples
    --------
    >>> series = xr.DataArray([1.0, 2.0], dims="time", name="intensity")
    >>> check_alike(xr.DataArray([1.0], dims="roi"), series, "errors")
    Traceback (most recent call last):
    ...
    xinsitu.errors.SchemaError: errors has dims (roi: 1), which do not go with those of 'intensity', (time: 2)
    """
    if other is None:
        return
    same = (dim in data.dims and other.sizes[dim] == data.sizes[dim] and _same_labels(other, data, dim)
            for dim in map(str, other.dims))  # fmt: skip
    if all(same) and (along is None or along in other.dims):
        return
    own, wanted = (", ".join(f"{dim}: {size}" for dim, size in one.sizes.items()) for one in (other, data))
    labels = ", or have other labels" if own == wanted else ""
    raise SchemaError(f"{what} has dims ({own}), which do not go with those of {data.name!r}, ({wanted}){labels}")


def _same_labels(one: xr.DataArray, other: xr.DataArray, dim: str) -> bool:
    return dim not in one.coords or dim not in other.coords or bool(np.array_equal(one[dim], other[dim]))
