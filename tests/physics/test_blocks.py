"""Block functions on blocks of which nothing can be said: no frame, no valid pixel, no count, no background.

They neither fall over nor warn, and what they give is NaN, zero or flagged, never a number that looks measured.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator

import dask
import numpy as np
import pytest
import tifffile
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import xinsitu as xi
from xinsitu.errors import XinsituWarning
from xinsitu.kernels import DARK, UNREAD, lost
from xinsitu.physics.stored import Stored
from xinsitu.schema import Quality
from xinsitu.variables import as_frames

SHAPE = (22, 26)
REGION = ((0, 4), (1, 9))
TIME = np.datetime64("2014-05-28", "ns") + np.arange(12) * np.timedelta64(1, "s")
ROIS = [
    xi.Roi("plain", (5, 20), (3, 22)),
    xi.Roi("others", (6, 18), (4, 24), background=("far",)),
    xi.Roi("edge", (5, 21), (3, 25), background=("edge",)),
    xi.Roi("plane", (5, 21), (3, 25), background=("plane",)),
    xi.Roi("far", (0, 3), (10, 20), role="background"),
    xi.Roi("pixel", (9, 10), (9, 10)),
    xi.Roi("curved", (5, 21), (3, 25), background=("poly_x",)),
]
KINDS = ("beam off", "sparse", "bad", "nan", "unread", "dark", "negative", "good")


def frames_of(kind: str, number: int, rng: np.random.Generator) -> np.ndarray:
    """Frames that are all of one kind."""
    shape = (number, *SHAPE)
    if kind in ("nan", "unread", "dark"):
        why = {"nan": np.nan, "unread": lost("float64", UNREAD), "dark": lost("float64", DARK)}[kind]
        return np.full(shape, why)
    if kind == "negative":
        return rng.normal(-3, 1, shape)
    level = {"beam off": 0.0, "sparse": 0.02, "bad": 0.0, "good": 40.0}[kind]
    counts = rng.poisson(level, shape).astype("float64")
    return np.full(shape, np.nan) if kind == "bad" else counts


@st.composite
def stacks(draw: st.DrawFn) -> xr.DataArray:
    """Frames in runs of one kind each, whole numbers or floating point, from none to twelve, in memory or in chunks."""
    runs = draw(st.lists(st.sampled_from(KINDS), min_size=0, max_size=3))
    rng = np.random.default_rng(draw(st.integers(0, 5)))
    parts = [frames_of(kind, draw(st.integers(1, 4)), rng) for kind in runs]
    frames = np.concatenate([np.empty((0, *SHAPE)), *parts])
    if draw(st.booleans()):
        frames = np.where(np.isnan(frames), -1, np.maximum(frames, 0)).astype("int32")
    coords = {"time": TIME[: len(frames)], "y": np.arange(SHAPE[0]), "x": np.arange(SHAPE[1])}
    image = xr.DataArray(frames, coords, ("time", "y", "x"), name="image", attrs={"units": "counts"})
    image = as_frames(image.assign_attrs(count_cutoff=1000))
    chunk = draw(st.sampled_from([None, 1, 3]))
    return image if chunk is None else image.chunk({"time": chunk})


@st.composite
def corrections(draw: st.DrawFn) -> xi.Correction:
    """Any recipe, with calibrations that may leave no usable pixel."""
    flat = xr.DataArray(np.full(SHAPE, draw(st.sampled_from([1.0, 0.5, np.nan]))), dims=("y", "x"))
    everything = xr.DataArray(np.ones(SHAPE, bool), dims=("y", "x"))
    median = draw(st.sampled_from([None, 3, 5]))
    mode = draw(st.sampled_from(["divide", "subtract"]))
    mean = draw(st.sampled_from([None, "mean"])) if mode == "divide" else None
    region = xi.Background(*REGION, mode=mode, normalise=mean)
    return xi.Correction(
        median=median,
        threshold=None if median is None else draw(st.sampled_from([None, 5.0])),
        flatfield=draw(st.sampled_from([None, flat.assign_attrs(total_counts=1e6)])),
        mask=draw(st.sampled_from([None, None, everything])),
        background=draw(st.sampled_from([None, region])),
    )


def tracked(image: xr.DataArray, recipe: xi.Correction) -> xr.DataArray:
    """Where a spot was lost; ``track`` computes at once."""
    if not image.sizes["time"]:
        with pytest.raises(xi.RoiError, match="no frame to track"):
            xi.track(image, ROIS[2], correction=recipe)
        return image
    found = xi.track(image, ROIS[2], correction=recipe)
    nothing = image.isnull().all(("y", "x")) | (image == -1).all(("y", "x"))
    assert bool((found.lost | ~nothing).all())
    assert len(found.roi.path or ()) <= image.sizes["time"]
    return found.lost


def line(image: xr.DataArray, recipe: xi.Correction) -> xr.DataArray | xr.Dataset:
    series = xi.measure(image, ROIS, correction=recipe)
    if image.sizes["time"]:
        return xi.slope(series.com_x, errors=series.com_x_errors)
    with pytest.raises(xi.SchemaError, match="no frame"):
        xi.slope(series.com_x)
    return series.com_x


def spline(image: xr.DataArray, recipe: xi.Correction) -> xr.DataArray:
    series = xi.measure(image, ROIS, correction=recipe)
    return xi.smoothing_spline(series.intensity, errors=series.intensity_errors)


def fringes(image: xr.DataArray, recipe: xi.Correction) -> xr.Dataset:
    peaks = xi.find_peaks(along(image, recipe), "x")
    return xi.fringe_size(peaks.position.assign_attrs(units="1/angstrom"))


Function = Callable[[xr.DataArray, xi.Correction], xr.DataArray | xr.Dataset]


def along(image: xr.DataArray, recipe: xi.Correction) -> xr.DataArray:
    return xi.profiles(image, ROIS[1], along="x", rois=xi.RoiSet(ROIS), correction=recipe)


FUNCTIONS: dict[str, Function] = {
    "correct": xi.correct,
    "measure": lambda image, recipe: xi.measure(image, ROIS, correction=recipe, profiles=True),
    "measure corrected": lambda image, recipe: xi.measure(xi.correct(image, recipe), ROIS, smooth=3),
    "profiles": along,
    "line_cut": lambda image, recipe: xi.line_cut(image, (5, 5), (15, 20), width=3, correction=recipe),
    "fit_rois": lambda image, recipe: xi.fit_rois(image, ROIS[:5], correction=recipe),
    "fit_spots": lambda image, recipe: xi.fit_spots(image, ROIS[:1], correction=recipe),
    "find_peaks": lambda image, recipe: xi.find_peaks(along(image, recipe), "x"),
    "fwhm": lambda image, recipe: xi.fwhm(along(image, recipe), "x"),
    "smooth": lambda image, recipe: xi.smooth(xi.correct(image, recipe), 5),
    "track": tracked,
    "smoothing_spline": spline,
    "slope": line,
    "fringe_size": fringes,
    "derivative": lambda image, recipe: xi.derivative(along(image, recipe), 3),
}


@pytest.mark.thorough("correct", "profiles")
@pytest.mark.parametrize("name", FUNCTIONS)
@settings(max_examples=15, deadline=None)
@given(image=stacks(), recipe=corrections())
def test_nothing_falls_over_and_nothing_but_our_own_warning_is_heard(name, image, recipe):
    here = threading.get_ident()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", XinsituWarning)
        with threads_that_warn() as elsewhere, dask.config.set(scheduler="threads", num_workers=2):
            FUNCTIONS[name](image, recipe).compute()
    assert elsewhere - {here} == set()


class threads_that_warn:
    """Threads from which ``errors.warn`` is called inside the block."""

    def __enter__(self) -> set[int]:
        from xinsitu import variables
        from xinsitu.physics.corrections import apply, plan

        self.seen: set[int] = set()
        self.patch = pytest.MonkeyPatch()
        for module in (variables, apply, plan):
            self.patch.setattr(module, "warn", lambda _: self.seen.add(threading.get_ident()))
        return self.seen

    def __exit__(self, *_: object) -> None:
        self.patch.undo()


@pytest.mark.thorough
@settings(max_examples=15, deadline=None)
@given(image=stacks(), recipe=corrections())
def test_what_cannot_be_read_or_divided_is_nan_and_flagged(image, recipe):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", XinsituWarning)
        series = xi.measure(image, ROIS, correction=recipe, profiles=True).compute()
        frames = np.asarray(xi.correct(image, recipe).compute().values)
        raw = np.asarray(image.values, dtype="float64")
    nowhere = np.isnan(raw).all(axis=(1, 2)) | (raw == -1).all(axis=(1, 2))
    assert np.isnan(series.intensity.values[nowhere]).all()
    assert np.isnan(series.profile_x.values[nowhere]).all()
    assert np.isnan(frames[nowhere]).all()
    assert (series.n_valid.values[nowhere] == 0).all()
    assert (series.quality.values[nowhere] != 0).all()
    unread = np.ascontiguousarray(raw[:, 0, 0]).view("uint64") == lost("float64", UNREAD).view("uint64")
    flagged = (series.quality.values & Quality.FRAME_FAULT) > 0
    assert (flagged == unread[:, None]).all()
    told = str(series.remarks.item())
    assert (f"{unread.sum()} of {len(raw)} frames are NaN because they cannot be read" in told) == unread.any()
    if recipe.background is not None and recipe.background.mode == "divide" and recipe.mask is None:
        flat = np.ones(raw.shape[1:]) if recipe.flatfield is None else recipe.flatfield.values
        off = (raw[:, :4, 1:9] == 0).all(axis=(1, 2)) & (flat[:4, 1:9] > 0).any()  # a zero, not an area without pixels
        flagged = (series.quality.values & Quality.ZERO_BACKGROUND) > 0
        assert flagged[off].all()


def functions() -> Iterator[str]:
    """Every function that is mapped over blocks."""
    import ast
    from pathlib import Path

    for path in Path(xi.__file__).parent.joinpath("physics").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in (
                "over_blocks",
                "Batch",
                "xr.apply_ufunc",
                "da.map_blocks",
            ):
                of_blocks = node.args[:3] if ast.unparse(node.func) == "Batch" else node.args[:1]
                yield from (f"{path.stem}: {ast.unparse(one)}" for one in of_blocks)


@pytest.mark.thorough
def test_every_function_of_blocks_is_marked_as_one():
    """A new one is to be silent, and to stand in the table above."""
    import ast
    from pathlib import Path

    unmarked, known = set(), list(functions())
    for path in Path(xi.__file__).parent.joinpath("physics").rglob("*.py"):
        tree = ast.parse(path.read_text())
        marked = {
            node.name: [ast.unparse(one) for one in node.decorator_list]
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef)
        }
        for said in [one.split(": ")[1] for one in known if one.split(":")[0] == path.stem]:
            if said.isidentifier() and said in marked and "block_function" not in marked[said]:
                unmarked.add(f"{path.stem}.{said}")
    assert unmarked <= {"blocks.function"}
    assert len(set(known)) > 10


def test_a_plan_is_known_by_its_content_alone():
    """Equal content, equal name in every process; any other number, array or order is another plan."""
    from dataclasses import replace

    from xinsitu.physics.corrections.plan import prepared
    from xinsitu.physics.reduction.roi_plan import fitted

    frames = xr.DataArray(np.ones((2, *SHAPE), "int32"), dims=("time", "y", "x"), attrs={"units": "counts"})
    flat = xr.DataArray(np.linspace(0.9, 1.1, SHAPE[0] * SHAPE[1]).reshape(SHAPE), dims=("y", "x"))
    recipe = xi.Correction(median=3, flatfield=flat)
    plan = fitted(frames, xi.RoiSet(ROIS), recipe).plan
    assert fitted(frames.copy(), xi.RoiSet(ROIS), xi.Correction(median=3, flatfield=flat.copy())).plan.fingerprint == (
        plan.fingerprint
    )
    other = flat.copy()
    other[10, 10] += 1e-6
    steps = prepared(frames, recipe).steps
    changed = [
        fitted(frames, xi.RoiSet(ROIS), replace(recipe, flatfield=other)).plan,
        fitted(frames, xi.RoiSet(ROIS[::-1]), recipe).plan,
        fitted(frames, xi.RoiSet(ROIS), recipe, 5).plan,
        fitted(frames.astype("uint16"), xi.RoiSet(ROIS), recipe).plan,
        replace(plan, cutoff=1.0),
        replace(plan, counts=not plan.counts),
        replace(plan, steps=replace(plan.steps, threshold=5.0)),
        steps,
        replace(steps, mask=np.zeros(SHAPE, dtype=bool)),
        replace(steps, dead_time=1e-7),
    ]
    assert len({plan.fingerprint, *(one.fingerprint for one in changed)}) == 1 + len(changed)


def stored_frames(folder, number: int) -> tuple[xr.Dataset, np.ndarray]:
    truth = np.random.default_rng(7).poisson(9, (number, 30, 40)).astype("int32")
    for place, pixels in enumerate(truth):
        tifffile.imwrite(folder / f"a_{place:04}.tif", pixels, metadata=None)
    return xi.open_measurement(folder, time="frame", chunks={"time": 7}), truth


@pytest.mark.thorough
def test_frames_of_files_are_summed_a_batch_at_a_time(tmp_path):
    """What is only cut out of files is read some frames at a time, whatever was cut, to the same bits."""
    scan, truth = stored_frames(tmp_path, 90)
    rois = [xi.Roi("a", (5, 25), (6, 36), background=("edge",)), xi.Roi("b", (8, 20), (4, 30))]
    recipe = xi.Correction(median=3, background=xi.Background(y=(0, 6), x=(0, 10), mode="subtract"))
    images = {
        "all": scan, "some": scan.isel(time=slice(3, 80)), "every second": scan.isel(time=slice(1, 70, 2)),
        "part": xi.crop(scan, y=(0, 28), x=(0, 38)), "backwards": scan.isel(time=slice(None, None, -1)),
    }  # fmt: skip
    for name, image in images.items():
        found = Stored.behind(image.image)
        assert found is not None, name
        np.testing.assert_array_equal(
            Stored.read(found.array, found.frames, (found.rows, found.columns)), image.image.values
        )
        lazy, now = (xi.measure(one, rois, correction=recipe) for one in (image, image.compute()))
        assert len(dask.optimize(lazy.intensity.data)[0].__dask_graph__()) < 30
        xr.testing.assert_identical(lazy.compute().drop_vars("remarks"), now.drop_vars("remarks"))
    np.testing.assert_array_equal(images["all"].image.values, truth)
    found = Stored.behind(scan.image)
    for columns in (slice(3, 9), slice(3, 39), slice(1, 40, 3)):  # few of a row, most of it, some of all of it
        read = Stored.read(found.array, np.array([8, 9, 20]), (slice(2, 30), columns))
        np.testing.assert_array_equal(read, scan.image.values[[8, 9, 20], 2:30, columns])


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore:the image says that it holds counts")  # what is calculated with holds none
def test_what_is_more_than_cut_out_is_worked_on_in_its_own_blocks(tmp_path):
    """Joined, turned, calculated with, or picked one by one: never taken for what lies in the files."""
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    scan, _ = stored_frames(tmp_path / "one", 20)
    other, _ = stored_frames(tmp_path / "two", 20)
    how = {"coords": "minimal", "compat": "override", "join": "override"}
    joined, both = (xr.concat([scan.image, one], "time", **how) for one in (other.image + 0, other.image))
    for image in (
        joined,
        both,
        scan.image * 2,
        scan.image[:, ::-1].drop_vars("y"),
        scan.image.chunk({"y": 9}),
        scan.image[[3, 1, 7]],
    ):
        assert Stored.behind(image) is None
        lazy, now = (xi.measure(one, [xi.Roi("a", (5, 25), (6, 36))]) for one in (image, image.compute()))
        xr.testing.assert_equal(lazy.compute().drop_vars("remarks"), now.drop_vars("remarks"))
