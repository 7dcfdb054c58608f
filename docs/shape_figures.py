"""Figures of regions of any shape, from known truth."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import xarray as xr
from field_figures import table
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import xinsitu as xi
from xinsitu.values.region_shapes import Shape

ANGLE, MIDDLE = 27.0, (38.2, 50.7)
WIDTHS = (5.0, 13.0)
SHAPES = {
    "ellipse": xi.Ellipse((15, 20), (9.5, 14), 25),
    "polygon": xi.Polygon([(3, 60), (8, 92), (24, 84), (27, 64)]),
    "rotated": xi.Rotated((38, 50), (19, 40), ANGLE),
    "sector": xi.Sector((95, 34), (28, 42), (230, 310)),
    "mask": xi.Mask.of(np.hypot(*np.mgrid[-9:10, -9:10]) % 5 < 3, (48, 82)),
}


def frames(number: int) -> xr.DataArray:
    """Poisson frames of a spot that is turned."""
    y, x = np.mgrid[:76, :104]
    turn = np.radians(ANGLE)
    along = (x - MIDDLE[1]) * np.cos(turn) + (y - MIDDLE[0]) * np.sin(turn)
    across = (y - MIDDLE[0]) * np.cos(turn) - (x - MIDDLE[1]) * np.sin(turn)
    mean = 400 * np.exp(-4 * np.log(2) * ((across / WIDTHS[0]) ** 2 + (along / WIDTHS[1]) ** 2)) + 6
    counts = np.random.default_rng(3).poisson(mean, (number, *mean.shape)).astype("int32")
    return xr.DataArray(counts, dims=("time", "y", "x"), attrs={"units": "counts"})


def drawn(axes: Axes, shape: Shape) -> None:
    """Draw the outlines of a shape, each closed."""
    for line in shape.outlines():
        axes.plot(np.append(line[:, 1], line[0, 1]), np.append(line[:, 0], line[0, 0]), color="#dc322f", lw=0.8)


def figure_shapes() -> tuple[Figure, str]:
    """Weights of all shapes; the spot in a rotated box, told along and across, and along y and x."""
    weights = np.zeros((76, 104))
    for shape in SHAPES.values():
        roi = xi.Roi("a", geometry=shape, edges="exact")
        part = weights[slice(*roi.y), slice(*roi.x)]
        np.maximum(part, 1.0 if roi.weights is None else roi.weights, out=part)
    image = frames(200)
    figure = Figure(figsize=(8.4, 3.5), layout="compressed")
    left, right = figure.subplots(1, 2)
    left.imshow(weights, origin="lower", cmap="Greys", vmin=0, vmax=1.3)
    right.imshow(image[0], origin="lower", cmap="viridis")
    for name, shape in SHAPES.items():
        drawn(left, shape)
        if name == "rotated":
            drawn(right, shape)
    left.set(title="how much each pixel counts", xlabel="x", ylabel="y")
    right.set(title="a spot in a rotated box", xlabel="x", ylabel="y")
    series = xi.measure(image, [xi.Roi("a", geometry=SHAPES["rotated"], background=("edge",))]).sel(roi="a")
    turn = np.radians(ANGLE)
    dy, dx = MIDDLE[0] - 38, MIDDLE[1] - 50
    truth = {
        "com_along": dx * np.cos(turn) + dy * np.sin(turn), "com_across": dy * np.cos(turn) - dx * np.sin(turn),
        "fwhm_along": WIDTHS[1], "fwhm_across": WIDTHS[0],
    }  # fmt: skip
    rows = [
        (f"`{name}`", f"{value:.3f}", f"{float(series[name].mean()):.3f}", f"{float(series[name].std()):.3f}",
         f"{float(series[f'{name}_errors'].mean()):.3f}")
        for name, value in truth.items()
    ]  # fmt: skip
    return figure, table(("pixels", "truth", "mean of 200 frames", "scatter", "error as told"), rows)


def figure_geometry() -> tuple[Figure, str]:
    """Rings of a powder that grows: a ROI in q, its intensity, and profiles along q by pyFAI."""
    geometry = xi.DetectorGeometry(0.2, 1e-10, (60, 70), (172e-6, 172e-6), (0.02, -0.05, 0.0))
    empty = xr.Dataset({"image": (("time", "y", "x"), np.zeros((1, 160, 220), "int32"))})
    scan = xi.with_geometry(empty, geometry)
    rng, widths, places = np.random.default_rng(8), (0.012, 0.02), (0.62, 0.9)
    mean = 3 + sum(
        np.linspace(0, 60, 30)[:, None, None] * np.exp(-4 * np.log(2) * ((scan.q.values - at) / wide / 2) ** 2)
        for at, wide in zip(places, widths, strict=True)
    )
    image = xr.DataArray(rng.poisson(mean).astype("int32"), dims=("time", "y", "x"), attrs={"units": "counts"})
    roi = xi.roi_in_q(image, geometry, "ring", q=(0.87, 0.93), chi=(-30, 60))
    profiles = xi.radial_profiles(image, geometry, bins=120, q=(0.5, 1.1), solid_angle=False)
    figure = Figure(figsize=(8.4, 3.5), layout="compressed")
    left, right = figure.subplots(1, 2)
    left.imshow(image[-1], origin="lower", cmap="viridis")
    drawn(left, roi.geometry)
    left.set(title="frame 29, ROI q = 0.87 to 0.93, chi = -30 to 60", xlabel="x", ylabel="y")
    right.pcolormesh(profiles.q, np.arange(30), profiles.intensity, cmap="viridis")
    right.set(title="intensity per pixel", xlabel="q (1/angstrom)", ylabel="frame")
    fits = xi.fit_profiles(
        profiles.intensity.isel(time=-1), "q", peaks=2, errors=profiles.intensity_errors.isel(time=-1)
    )
    rows = [
        (number, f"{at:.3f}", f"{float(fits.centre[number]):.4f}", f"{2 * wide:.3f}", f"{float(fits.fwhm[number]):.4f}")
        for number, (at, wide) in enumerate(zip(places, widths, strict=True))
    ]
    return figure, table(("ring", "q", "fitted", "FWHM", "fitted"), rows)


FILES = {
    "ImageJ": ("rois.zip", "imagej"), "DAWN": ("rois.nxs", "dawn"), "BLISS": ("rois.h5", "bliss"),
    "areaDetector": ("rois.sav", "areadetector"), "mask": ("rois.npy", "mask"),
}  # fmt: skip
"""A file of each program, and what its form is called."""


def figure_exchange() -> tuple[Figure, str]:
    """Every shape, written for another program and read from its file: the pixels that both hold."""
    shaped = (xi.Roi(name, geometry=shape) for name, shape in SHAPES.items())
    rois = xi.RoiSet([xi.Roi("rectangle", (69, 75), (64, 101)), *shaped], detector_shape=(76, 104))
    figure = Figure(figsize=(8.4, 1.7), layout="compressed")
    every, columns = figure.subplots(1, len(FILES), sharex=True, sharey=True), []
    for axes, (program, (name, form)) in zip(every, FILES.items(), strict=True):
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(action="ignore"):
            xi.write_rois(rois, f"{folder}/{name}", form=form)
            again = xi.read_rois(f"{folder}/{name}")
        if form == "mask":  # a level for each ROI in turn, without its name
            again = xi.RoiSet([replace(roi, name=own) for roi, own in zip(again, rois.names, strict=True)])
        before, after = ({roi.name: pixels_of(roi) for roi in one} for one in (rois, again))
        axes.imshow(np.maximum.reduce(list(before.values())), origin="lower", cmap="Greys", vmax=2)
        axes.contour(np.maximum.reduce(list(after.values())), [0.5], colors="#dc322f", linewidths=0.8)
        axes.set(title=program)
        columns.append([overlap(one, after.get(own)) for own, one in before.items()])
    rows = [(name, *cells) for name, cells in zip(rois.names, zip(*columns, strict=True), strict=True)]
    return figure, table(("pixels in common", *FILES), rows)


def pixels_of(roi: xi.Roi) -> np.ndarray:
    """Which pixels a ROI holds, as zeros and ones."""
    pixels = np.zeros((76, 104))
    pixels[slice(*roi.y), slice(*roi.x)] = 1.0 if roi.weights is None else roi.weights
    return pixels


def overlap(one: np.ndarray, other: np.ndarray | None) -> str:
    """Tell how many of the pixels that either has both have."""
    return "left out" if other is None else f"{np.minimum(one, other).sum() / np.maximum(one, other).sum():.1%}"


FIGURES: dict[str, Callable[[], tuple[Figure, str]]] = {
    "shapes": figure_shapes, "geometry": figure_geometry, "exchange": figure_exchange,
}  # fmt: skip
