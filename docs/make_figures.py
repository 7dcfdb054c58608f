"""Make every figure and table of the documentation from simulated frames with known truth.

python docs/make_figures.py docs/_generated
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from scipy.special import ndtr

import xinsitu as xi

sys.path.insert(0, str(Path(__file__).parent))
import field_figures
import finder_figures
import shape_figures

RNG_SEED = 20140528
BOX = (60, 50)
"""Rows and columns of the simulated ROI; the empty area beside it is as large."""
CENTRE, SIGMA = (29.3, 24.6), (5.0, 4.2)
FLAT = 0.5
"""Counts per pixel of the diffuse background."""
COUNTS = (20, 50, 200, 500, 2_000, 20_000, 200_000)
REPETITIONS = 400
COLOURS = {"CTR": "#b58900", "WZ": "#dc322f", "ZB": "#2e8b57", "TW": "#d2691e", "BG": "#888888"}


# -- simulated spots --------------------------------------------------------------------------------------------------


def gaussian(centre: tuple[float, float] = CENTRE, sigma: tuple[float, float] = SIGMA) -> np.ndarray:
    """Spot of one count, integrated over each pixel, in a frame with an empty area to its right."""
    rows, columns = BOX
    y = np.diff(ndtr((np.arange(rows + 1) - 0.5 - centre[0]) / sigma[0]))
    x = np.diff(ndtr((np.arange(2 * columns + 1) - 0.5 - centre[1]) / sigma[1]))
    return np.outer(y, x)


def repeated(
    counts: float, *, flat: float | np.ndarray = FLAT, repetitions: int = REPETITIONS, **spot: tuple
) -> xr.DataArray:
    """Frames of the same spot that differ by their Poisson noise alone."""
    rng = np.random.default_rng([RNG_SEED, int(counts * 1000)])
    frames = rng.poisson(counts * gaussian(**spot) + flat, size=(repetitions, BOX[0], 2 * BOX[1])).astype("int32")
    return xr.DataArray(frames, dims=("time", "y", "x"), name="image", attrs={"units": "counts"})


def rois(background: Iterable[str] = ("BG",)) -> xi.RoiSet:
    """The spot's ROI and the empty area beside it."""
    rows, columns = BOX
    return xi.RoiSet(
        [
            xi.Roi("spot", y=(0, rows), x=(0, columns), background=tuple(background)),
            xi.Roi("BG", y=(0, rows), x=(columns, 2 * columns), role="background"),
        ]
    )


def spot_series(frames: xr.DataArray, **options: object) -> xr.Dataset:
    """Measure the spot in every repetition."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", xi.XinsituWarning)
        return xi.measure(frames, rois(), **options).sel(roi="spot").compute()


def true_values() -> dict[str, float]:
    """What a measurement without noise gives; the intensity for one count."""
    many = 1e9
    quiet = xr.DataArray(many * gaussian()[None], dims=("time", "y", "x"), attrs={"units": "counts"})
    series = xi.measure(quiet, rois()).sel(roi="spot").isel(time=0)
    values = {name: float(series[name]) for name in ("com_y", "com_x", "fwhm_y", "fwhm_x")}
    return {**values, "intensity": float(series["intensity"]) / many}


# -- helpers ----------------------------------------------------------------------------------------------------------


def new_figure(columns: int = 1, rows: int = 1, size: tuple[float, float] = (8.4, 3.4)) -> tuple[Figure, np.ndarray]:
    """Return an empty figure and its axes, always a 1-d array."""
    figure = Figure(figsize=size, layout="constrained")
    return figure, np.atleast_1d(figure.subplots(rows, columns)).ravel()


def table(header: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Markdown table: words stand at the left, numbers at the right."""
    cells = [[str(cell) for cell in row] for row in rows]
    sides = [":---" if column[0][:1].isalpha() else "---:" for column in zip(*cells, strict=True)]
    lines = [list(header), sides, *cells]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def bias_and_error(name: str, label: str, *, relative: bool) -> tuple[Figure, str]:
    """Bias and scatter of one quantity against counts, with the errors that ``measure`` states."""
    truth = true_values()[name]
    rows, points = [], []
    for counts in COUNTS:
        series = spot_series(repeated(counts))
        true = truth * counts if name == "intensity" else truth
        unit = true if relative else 1.0
        values = series[name].values
        good = np.isfinite(values)
        if good.mean() < 0.1:
            rows.append((f"{counts:,}", "–", "–", "–", f"{100 * good.mean():.0f} %"))
            continue
        stated = np.nanmedian(series[f"{name}_errors"].values[good])
        bias, scatter = np.median(values[good]) - true, np.std(values[good])
        points.append((counts, bias / unit, scatter / unit, stated / unit))
        scale, suffix = (100 / unit, " %") if relative else (1.0, " px")
        numbers = [f"{value * scale:.3g}{suffix}" for value in (bias, scatter, stated)]
        rows.append((f"{counts:,}", *numbers, f"{100 * good.mean():.0f} %"))
    figure, (left, right) = new_figure(2)
    counts, bias, scatter, stated = np.array(points).T
    left.axhline(0, color="#999999", lw=0.8)
    left.errorbar(counts, bias, scatter / np.sqrt(REPETITIONS), fmt="o-", ms=4, color="#dc322f")
    left.set(xscale="log", xlabel="net counts in the spot", ylabel=f"bias of {label}", title="median less truth")
    right.loglog(counts, scatter, "o", ms=5, color="#222222", label="scatter of repetitions")
    right.loglog(counts, stated, "-", color="#268bd2", label="stated error (median)")
    right.set(xlabel="net counts in the spot", ylabel=f"standard deviation of {label}", title="error")
    right.legend(frameon=False)
    return figure, table(("net counts", "bias", "scatter", "stated error", "finite"), rows)


# -- one function per figure ------------------------------------------------------------------------------------------


def figure_intensity() -> tuple[Figure, str]:
    """Intensity: unbiased, error from counting."""
    return bias_and_error("intensity", "intensity (relative)", relative=True)


def figure_com() -> tuple[Figure, str]:
    """Centre of mass."""
    return bias_and_error("com_x", "centre of mass (px)", relative=False)


def figure_fwhm() -> tuple[Figure, str]:
    """FWHM: too small where the highest bin is an accident of the noise."""
    return bias_and_error("fwhm_x", "FWHM (relative)", relative=True)


def figure_fits() -> tuple[Figure, str]:
    """Width from the half level, from smoothed profiles, and from a fit."""
    truth = true_values()["fwhm_x"]
    rows, drawn = [], []
    for counts in COUNTS[2:]:
        frames = repeated(counts)
        fitted = xi.fit_rois(frames, rois()).sel(roi="spot").compute()
        found = {
            "half level": spot_series(frames),
            "smooth=5": spot_series(frames, smooth=5),
            "Gaussian fit": fitted,
        }
        cells, biases = [], []
        for series in found.values():
            values = series.fwhm_x.values
            bias, scatter = np.nanmedian(values) / truth - 1, np.nanstd(values) / truth
            cells.append(f"{100 * bias:+.1f} ± {100 * scatter:.1f} %")
            biases.append(100 * bias)
        stated = np.nanmedian(fitted.fwhm_x_errors) / truth
        rows.append((f"{counts:,}", *cells, f"{100 * stated:.1f} %", f"{100 * fitted.fwhm_x.notnull().mean():.0f} %"))
        drawn.append((counts, *biases, 100 * np.nanstd(fitted.fwhm_x) / truth, 100 * stated))
    counts, *curves, scatter, stated = np.array(drawn).T
    figure, (left, right) = new_figure(2)
    left.axhline(0, color="#999999", lw=0.8)
    for name, curve, style in zip(found, curves, ("s-", "^-", "o-"), strict=True):
        left.semilogx(counts, curve, style, ms=5, label=name)
    left.set(xlabel="net counts in the spot", ylabel="bias of the FWHM (%)")
    left.legend(frameon=False)
    right.loglog(counts, scatter, "o", ms=5, color="#222222", label="scatter of the fit")
    right.loglog(counts, stated, "-", color="#268bd2", label="stated error (median)")
    right.set(xlabel="net counts in the spot", ylabel="standard deviation of the FWHM (%)")
    right.legend(frameon=False)
    return figure, table(("net counts", *found, "stated error of the fit", "fits that succeed"), rows)


def figure_background() -> tuple[Figure, str]:
    """Three backgrounds of a ROI on tilted ground: bias of intensity and position, error of what is taken off."""
    kinds = {"empty area": ("BG",), "edge": ("edge",), "plane": ("plane",)}
    tilt, centre = 1 + 0.005 * (np.arange(2 * BOX[1]) - BOX[1] / 2), true_values()["com_x"]
    header = [f"{name}: {what}" for name in kinds for what in ("intensity", "position", "background", "stated")]
    rows, drawn = [], []
    for level in (0.1, 0.5, 2.0, 10.0):
        frames = repeated(5_000, flat=level * tilt)
        under = float((level * tilt)[: BOX[1]].sum() * BOX[0]) / 100
        values = [level]
        for named in kinds.values():
            series = xi.measure(frames, rois(named)).sel(roi="spot").compute()
            bias = 100 * (float(series.intensity.mean()) / 5_000 - 1), float(series.com_x.mean()) - centre
            errors = float(series.background.std()), float(np.sqrt((series.background_errors**2).mean()))
            values += [*bias, *(error / under for error in errors)]
        drawn.append(values)
        shown = ("{:+.1f} %", "{:+.2f} px", "± {:.2f} %", "± {:.2f} %") * len(kinds)
        cells = (form.format(value) for form, value in zip(shown, values[1:], strict=True))
        rows.append([cell if "nan" not in cell else "–" for cell in cells])
    level, *columns = np.array(drawn).T
    figure, axes = new_figure(3, size=(10.5, 3.4))
    for place, (name, colour) in enumerate(zip(kinds, ("#268bd2", "#dc322f", "#2e8b57"), strict=True)):
        intensity, position, scatter, stated = columns[4 * place : 4 * place + 4]
        axes[0].semilogx(level, intensity, "o-", ms=4, color=colour, label=name)
        axes[1].semilogx(level, position, "o-", ms=4, color=colour)
        axes[2].loglog(level, scatter, "o", ms=5, color=colour)
        axes[2].loglog(level, stated, "-", color=colour)
    for axis, label in zip(
        axes, ("bias of the net intensity (%)", "bias of the position (px)", "error (%)"), strict=True
    ):
        axis.set(xlabel="counts per pixel of the ground", ylabel=label)
    axes[0].set_yscale("symlog", linthresh=1)
    axes[2].set(title="scatter (dots), stated (lines)")
    axes[0].legend(frameon=False)
    return figure, table(("counts per pixel", *map(str, level)), zip(header, *rows, strict=True))


def figure_quality() -> tuple[Figure, str]:
    """How often flags rise, against counts, without a filter and through the default median."""
    flags = ("low_counts", "half_level_not_crossed", "noisy_profile", "errors_doubtful", "median_bias")
    counts = (5, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 20_000, 200_000)
    figure, axes = new_figure(2)
    shares: list[list[list[float]]] = []
    for axis, (title, correction) in zip(
        axes, {"no filter": None, "median=3": xi.Correction(median=3)}.items(), strict=True
    ):
        found = [spot_series(repeated(net), correction=correction).quality for net in counts]
        masks = dict(zip(found[0].flag_meanings.split(), found[0].flag_masks, strict=True))
        shares.append([[100 * float(((one & int(masks[name])) > 0).mean()) for one in found] for name in flags])
        for number, (name, share) in enumerate(zip(flags, shares[-1], strict=True)):
            if any(share):
                axis.semilogx(counts, share, "o-", ms=4, lw=5 - number, label=name)  # they lie on each other
        axis.set(xlabel="net counts in the spot", ylabel="frames that are flagged (%)", title=title)
    figure.legend(*axes[1].get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False, fontsize=8)
    cells = [[f"{a:.0f} % / {b:.0f} %" for a, b in zip(*both, strict=True)] for both in zip(*shares, strict=True)]
    return figure, table(("net counts", *flags), zip([f"{number:,}" for number in counts], *cells, strict=True))


def figure_com_pull() -> tuple[Figure, str]:
    """Centre of mass with and without a declared background."""
    rows, drawn = [], []
    middle = (BOX[1] - 1) / 2
    for flat in (0.0, 0.02, 0.1, 0.5, 2.0):
        frames = repeated(2_000, flat=flat, centre=(CENTRE[0], 30.0))
        net = spot_series(frames).com_x.mean().item()
        plain = xi.measure(frames, rois(background=())).sel(roi="spot").com_x.mean().compute().item()
        share = 2_000 / (2_000 + flat * BOX[0] * BOX[1])
        rows.append((flat, f"{net:.2f}", f"{plain:.2f}", f"{share * 30.0 + (1 - share) * middle:.2f}"))
        drawn.append((flat, net, plain))
    flat, net, plain = np.array(drawn).T
    figure, (axis,) = new_figure(size=(5.6, 3.2))
    axis.plot(flat, net, "o-", color="#268bd2", label="with a declared background")
    axis.plot(flat, plain, "s-", color="#dc322f", label="without")
    axis.axhline(30.0, color="#999999", lw=0.8, label="truth")
    axis.axhline(middle, color="#999999", lw=0.8, ls=":", label="middle of the ROI")
    axis.set(xlabel="diffuse counts per pixel", ylabel="centre of mass (px)")
    axis.legend(frameon=False)
    return figure, table(("diffuse counts/px", "with background", "without", "predicted without"), rows)


def figure_median() -> tuple[Figure, str]:
    """Plain median and despiking with a threshold, on the same frames."""
    rows, drawn = [], []
    filters = (None, xi.Correction(median=3), xi.Correction(median=3, threshold=5))
    for counts in (50, 200, 1_000, 5_000, 20_000, 200_000):
        frames = repeated(counts, flat=0.05)
        series = [spot_series(frames, correction=correction).intensity.values / counts - 1 for correction in filters]
        peak = counts / (2 * np.pi * SIGMA[0] * SIGMA[1])
        drawn.append((peak, *(100 * ratios.mean() for ratios in series)))
        error = 100 * series[0].std() / np.sqrt(len(frames))
        rows.append((f"{counts:,}", f"{peak:.3g}", *(f"{value:+.2f} %" for value in drawn[-1][1:]), f"{error:.2f} %"))
    peak, without, plain, despiked = np.array(drawn).T
    figure, (axis,) = new_figure(size=(5.6, 3.4))
    axis.axhline(0, color="#999999", lw=0.8)
    axis.semilogx(peak, plain, "s-", color="#dc322f", label="median=3")
    axis.semilogx(peak, despiked, "o-", color="#268bd2", label="median=3, threshold=5")
    axis.semilogx(peak, without, ".:", color="#222222", label="no filter")
    axis.set(xlabel="counts in the spot's highest pixel", ylabel="bias of the intensity (%)")
    axis.legend(frameon=False)
    header = ("net counts", "highest pixel", "no filter", "median=3", "median=3, threshold=5", "error of these")
    return figure, table(header, rows)


def figure_maximum() -> tuple[Figure, str]:
    """The highest pixel is drawn to the noise."""
    rows, drawn = [], []
    for counts in COUNTS:
        series = spot_series(repeated(counts))
        true = counts * gaussian().max() + FLAT
        excess = float(series.maximum.mean()) / true - 1
        rows.append((f"{counts:,}", f"{true:.2f}", f"{float(series.maximum.mean()):.2f}", f"{100 * excess:+.1f} %"))
        drawn.append((counts, 100 * excess))
    counts, excess = np.array(drawn).T
    figure, (axis,) = new_figure(size=(5.6, 3.2))
    axis.loglog(counts, excess, "o-", color="#dc322f")
    axis.set(xlabel="net counts in the spot", ylabel="excess of the maximum (%)")
    return figure, table(("net counts", "true highest pixel", "mean maximum", "excess"), rows)


def growing_sample(counts: float, rng: np.random.Generator) -> xr.Dataset:
    """Two ROIs that grow by 2 % per frame; after 20 frames and 2 s of dead time a filter takes nine tenths."""
    seconds = np.r_[np.arange(20), np.arange(22, 42)]
    true = counts * np.exp(0.02 * (seconds - 20))[:, None] * np.array([1.0, 0.6])
    true[20:] /= 10
    counted = rng.poisson(true).astype(float)
    return xr.Dataset(
        {
            "intensity": (("time", "roi"), counted, {"units": "counts"}),
            "intensity_errors": (("time", "roi"), np.sqrt(np.maximum(counted, 1)), {"units": "counts"}),
        },
        coords={"time": np.datetime64("2014-05-28", "ns") + seconds * np.timedelta64(1, "s"), "roi": ["WZ", "ZB"]},
    )


def figure_attenuation() -> tuple[Figure, str]:
    """Factor of a change while the signal grows: from two end points, and from lines on both sides."""
    rng, rows, drawn = np.random.default_rng(RNG_SEED), [], []
    for counts in (500, 5_000, 50_000, 500_000):
        ends, lines, stated = [], [], []
        for _ in range(max(REPETITIONS // 4, 10)):
            sample = growing_sample(counts, rng)
            change = xi.AttenuationChange(sample.time.values[19], sample.time.values[20])
            ends.append(xi.attenuation_changes(xi.correct_attenuation(sample, [change]))[0].factor)
            for found in xi.find_attenuation_changes(sample):
                lines.append(found.factor)
                stated.append(found.factor_errors)
        cells = [f"{np.mean(factors):.2f} ± {np.std(factors):.2f}" for factors in (ends, lines)]
        rows.append((f"{counts:,}", *cells, f"{np.mean(stated):.2f}"))
        drawn.append((counts, np.mean(ends), np.std(ends), np.mean(lines), np.std(lines)))
    counts, ends, ends_scatter, lines, lines_scatter = np.array(drawn).T
    figure, (axis,) = new_figure(size=(5.6, 3.2))
    axis.axhline(10, color="#999999", lw=0.8)
    axis.errorbar(counts, ends, ends_scatter, fmt="s-", ms=5, color="#dc322f", label="two end points")
    axis.errorbar(counts * 1.1, lines, lines_scatter, fmt="o-", ms=5, color="#268bd2", label="lines on both sides")
    axis.set(xscale="log", xlabel="counts per frame before the change", ylabel="factor (true: 10)")
    axis.legend(frameon=False)
    return figure, table(("counts per frame", "two end points", "lines on both sides", "stated error of these"), rows)


def growing(counts: float, *, shared: float) -> tuple[xr.DataArray, xr.DataArray, xr.DataArray]:
    """Counts that grow by 2 % of the first frame per second over 30 s: values, errors, and what segments share.

    From the 15th second on all values of a repetition are off by one factor.
    """
    rng = np.random.default_rng([RNG_SEED, int(counts), int(1000 * shared)])
    seconds = np.arange(30.0)
    counted = rng.poisson(counts * (1 + 0.02 * seconds), (4 * REPETITIONS, 30)).T.astype(float)
    off = 1 + shared * rng.normal(size=4 * REPETITIONS) * (seconds >= 15)[:, None]
    coords = {"time": seconds}
    scale = xr.DataArray(shared * (seconds >= 15), dims="time", coords=coords)
    values = xr.DataArray(counted * off, dims=("time", "n"), coords=coords)
    return values, np.sqrt(values), scale


def figure_slope() -> tuple[Figure, str]:
    """Growth rate: unbiased, with the errors that frames have of their own and those that segments share."""
    rows, drawn = [], []
    for counts in COUNTS:
        cells = []
        for shared in (0.0, 0.03):
            values, errors, scale = growing(counts, shared=shared)
            found = xi.slope(values.where(values > 0), errors=errors.where(values > 0), scale=scale)
            unit = 0.02 * counts
            bias, scatter = float(found.slope.mean()) / unit - 1, float(found.slope.std()) / unit
            own, common = (
                float(np.sqrt((found[name] ** 2).mean())) / unit for name in ("slope_errors", "slope_scale_errors")
            )
            cells += [bias, scatter, own, common]
        drawn.append((counts, *cells))
        shown = [f"{100 * cells[n]:.3g} %" for n in (0, 1, 2, 5, 6, 7)]
        rows.append((f"{counts:,}", *shown))
    counts, bias, scatter, own, _, _, scatter_both, own_both, common = np.array(drawn).T
    figure, (left, right) = new_figure(2)
    left.axhline(0, color="#999999", lw=0.8)
    left.errorbar(counts, 100 * bias, 100 * scatter / np.sqrt(4 * REPETITIONS), fmt="o-", ms=4, color="#dc322f")
    left.set(xscale="log", xlabel="counts in the first frame", ylabel="bias of the slope (%)", title="mean less truth")
    right.loglog(counts, 100 * scatter, "o", ms=5, color="#222222", label="scatter of repetitions")
    right.loglog(counts, 100 * own, "-", color="#268bd2", label="stated error")
    right.loglog(
        counts, 100 * scatter_both, "s", ms=5, mfc="none", color="#dc322f", label="scatter, factor known to 3 %"
    )
    right.loglog(
        counts, 100 * np.hypot(own_both, common), "--", color="#dc322f", label="stated, with slope_scale_errors"
    )
    right.set(xlabel="counts in the first frame", ylabel="standard deviation (%)", title="error of the slope")
    right.legend(frameon=False, fontsize=8)
    header = ("counts", "bias", "scatter", "stated", "scatter, factor known to 3 %", "stated: own", "stated: shared")
    return figure, table(header, rows)


def figure_ratios() -> tuple[Figure, str]:
    """Errors of fractions over the scatter of repetitions: with and without what ROIs have in common."""
    rng = np.random.default_rng(RNG_SEED)
    y, x = np.mgrid[:40, :90]
    spots = {"WZ": (20, 60.0), "ZB": (44, 35.0), "TW": (68, 25.0)}
    expected = 3 + sum(top * np.exp(-((y - 20) ** 2 + (x - at) ** 2) / 20) for at, top in spots.values())
    frames = xr.DataArray(
        rng.poisson(expected, (1500, 40, 90)).astype("int32"), dims=("time", "y", "x"), attrs={"units": "counts"}
    )
    side = xi.Roi("side", y=(0, 8), x=(0, 12), role="background")
    layouts = {
        "apart, own edge": [
            xi.Roi(name, y=(8, 32), x=(at - 11, at + 11), background=("edge",)) for name, (at, _) in spots.items()
        ],
        "one small background": [
            xi.Roi(name, y=(8, 32), x=(at - 11, at + 11), background=("side",)) for name, (at, _) in spots.items()
        ],
        "WZ holds the others": [
            xi.Roi(name, y=(8, 32), x=(9, 80) if name == "WZ" else (at - 11, at + 11), background=("side",))
            for name, (at, _) in spots.items()
        ],
    }
    rows, drawn = [], []
    for layout, chosen in layouts.items():
        series = xi.measure(frames, [*chosen, side]).compute()
        bare = series.drop_vars(["roi_y0", "roi_y1", "roi_x0", "roi_x1"]).assign_attrs(rois="{}")
        kept, dropped = (
            [float(found.fraction_errors.sel(roi=name).mean() / found.fraction.sel(roi=name).std()) for name in spots]
            for found in (xi.fraction(one, list(spots)) for one in (series, bare))
        )
        drawn.append((kept, dropped))
        rows.append((layout, *(f"{value:.2f}" for value in (*kept, *dropped))))
    figure, (axes,) = new_figure(1)
    axes.axhline(1, color="#999999", lw=0.8)
    for number, (kept, dropped) in enumerate(drawn):
        place = number + 0.12 * np.arange(-1, 2)
        axes.plot(place, kept, "o", color="#222222", label="with covariances" if not number else None)
        axes.plot(place, dropped, "o", mfc="none", color="#dc322f", label="without" if not number else None)
    axes.set_xticks(range(len(layouts)), list(layouts), fontsize=8)
    axes.set(ylabel="stated error / scatter", title="fractions of WZ, ZB, TW")
    axes.legend(frameon=False, fontsize=8)
    header = ("ROIs", *spots, *(f"{name}, as if independent" for name in spots))
    return figure, table(header, rows)


def figure_growth_laws() -> tuple[Figure, str]:
    """Pulls of every parameter of every growth law over 1,000 repetitions."""
    t = np.arange(0.0, 300.0, 2.0)
    curves = {
        "linear": ((500.0, 1.7), 500 + 1.7 * t),
        "parabola": ((900.0, -2.0, 0.05), 900 - 2 * t + 0.025 * t**2),
        "exponential": ((300.0, 900.0, -0.021), 300 + 900 * np.exp(-0.021 * t)),
        "logistic": ((200.0, 1500.0, 0.06, 140.0), 200 + 1500 / (1 + np.exp(-0.06 * (t - 140)))),
        "avrami": ((150.0, 2500.0, 0.009, 2.4), 150 + 2500 * (1 - np.exp(-((0.009 * t) ** 2.4)))),
    }
    rng = np.random.default_rng(RNG_SEED)
    rows, labels, widths = [], [], []
    for law, (true, curve) in curves.items():
        errors = np.sqrt(curve)[:, None] * np.ones(1000)
        dims, coords = ("time", "n"), {"time": t}
        values = xr.DataArray(curve[:, None] + errors * rng.standard_normal(errors.shape), coords, dims)
        found = xi.fit_growth(values, law, errors=xr.DataArray(errors, coords, dims))
        for name, value in zip(found["parameter"].values, true, strict=True):
            pulls = (found[name] - value) / found[f"{name}_errors"]
            labels.append(f"{law} {name}")
            widths.append(float(pulls.std()))
            rows.append((law, name, f"{float(pulls.mean()):+.2f}", f"{widths[-1]:.2f}"))
    figure, (axes,) = new_figure(1, size=(8.4, 4.4))
    axes.axvline(1, color="#999999", lw=0.8)
    axes.plot(widths, range(len(widths)), "o", color="#268bd2")
    axes.set_yticks(range(len(labels)), labels, fontsize=9)
    axes.set(xlim=(0.8, 1.2), xlabel="standard deviation of the pulls", title="1,000 repetitions")
    return figure, table(("law", "parameter", "mean pull", "standard deviation"), rows)


def figure_peaks() -> tuple[Figure, str]:
    """Position of a peak: highest bins of the profile, of a smoothed one, and a fit."""
    x = np.arange(60)
    shape = np.diff(ndtr((np.arange(61) - 0.5 - 28.3) / 4.0))
    rows, drawn = [], []
    for counts in COUNTS[2:]:
        rng = np.random.default_rng([RNG_SEED, counts, 7])
        counted = rng.poisson(counts * shape + 1.0, (REPETITIONS, 60)).astype(float)
        profile = xr.DataArray(counted, dims=("time", "x"), coords={"x": x})
        errors = np.sqrt(profile)
        fits = xi.fit_profiles(profile, "x", errors=errors, per_count=xr.DataArray(1.0))
        smooth = profile.rolling(x=7, center=True).mean()
        found = {
            "find_peaks": _highest(xi.find_peaks(profile, "x", max_peaks=1)),
            "of a mean over 7 bins": _highest(xi.find_peaks(smooth, "x", max_peaks=1)),
            "Gaussian fit": fits.centre,
        }
        cells = [(float(place.mean()) - 28.3, float(place.std())) for place in found.values()]
        stated = float(np.sqrt((fits.centre_errors**2).mean()))
        rows.append((f"{counts:,}", *(f"{bias:+.3f} ± {scatter:.3f}" for bias, scatter in cells), f"{stated:.3f}"))
        drawn.append((counts, *(value for pair in cells for value in pair), stated))
    counts, *curves = np.array(drawn).T
    figure, (left, right) = new_figure(2)
    left.axhline(0, color="#999999", lw=0.8)
    for name, bias, scatter, style in zip(found, curves[:-1:2], curves[1:-1:2], ("s-", "^-", "o-"), strict=True):
        left.errorbar(counts, bias, scatter / np.sqrt(REPETITIONS), fmt=style, ms=4, label=name)
        right.loglog(counts, scatter, style, ms=4, label=name)
    right.loglog(counts, curves[-1], ":", color="#222222", label="stated error of the fit")
    left.set(xscale="log", xlabel="counts in the peak", ylabel="bias of the position (px)")
    right.set(xlabel="counts in the peak", ylabel="scatter of the position (px)")
    right.legend(frameon=False, fontsize=8)
    return figure, table(("counts", *found, "stated error of the fit"), rows)


def _highest(peaks: xr.Dataset) -> xr.DataArray:
    return peaks.position.isel(peak=0)


def figure_sizes() -> tuple[Figure, str]:
    """Thickness from fringes and size from a width, for a film of 12 nm."""
    q = np.linspace(1.0, 1.6, 241)
    size, units = 12.0, {"units": "1/angstrom"}
    spacing = 2 * np.pi / (10 * size)
    fringes = (1 + 0.8 * np.cos(2 * np.pi * (q - 1.02) / spacing)) * np.exp(-(q - 1.0) / 0.5)
    wide = np.exp(-4 * np.log(2) * ((q - 1.3) / (0.9 * spacing)) ** 2)
    axis = {"q": ("q", q, units)}
    rows, drawn, shown = [], [], None
    for counts in (20, 50, 200, 1_000, 5_000):
        rng = np.random.default_rng([RNG_SEED, counts, 9])
        many = xr.DataArray(
            rng.poisson(counts * fringes, (REPETITIONS, q.size)).astype(float), dims=("time", "q"), coords=axis
        )
        smooth = many.rolling(q=9, center=True, min_periods=9).mean()
        found = xi.find_peaks(smooth, "q", max_peaks=14, prominence=0.25 * counts)
        thickness = xi.fringe_size(found)
        bell = xr.DataArray(rng.poisson(counts * wide + 1, many.shape).astype(float), dims=("time", "q"), coords=axis)
        fits = xi.fit_profiles(bell, "q", errors=np.sqrt(bell), per_count=xr.DataArray(1.0))
        crystal = xi.scherrer_size(fits.fwhm, errors=fits.fwhm_errors)
        cells = [
            (float(one["size"].median()) - size, float(one["size"].std()), float(one.size_errors.median()))
            for one in (thickness, crystal)
        ]
        shown = (many[0], smooth[0], found.isel(time=0)) if counts == 200 else shown
        rows.append((f"{counts:,}", *(f"{b:+.3f} ± {s:.3f} ({e:.3f}) nm" for b, s, e in cells)))
        drawn.append((counts, *(value for cell in cells for value in cell)))
    counts, *curves = np.array(drawn).T
    figure, (left, right) = new_figure(2)
    left.plot(q, shown[0], ".", ms=2, color="#999999")
    left.plot(q, shown[1], "-", color="#268bd2", label="mean over 9 bins")
    left.plot(shown[2].position, shown[2].height, "v", color="#dc322f", label="find_peaks")
    left.set(xlabel="q (1/Å)", ylabel="counts", title="fringes of a film of 12 nm")
    left.legend(frameon=False, fontsize=8)
    for name, first, colour in (("fringes", 0, "#dc322f"), ("Scherrer", 3, "#268bd2")):
        right.loglog(counts, curves[first + 1], "o", color=colour, label=f"scatter, {name}")
        right.loglog(counts, curves[first + 2], "-", color=colour, label=f"stated error, {name}")
    right.set(xlabel="counts per bin at the top", ylabel="standard deviation of the size (nm)", title="error")
    right.legend(frameon=False, fontsize=8)
    return figure, table(
        ("counts", "from fringes: bias ± scatter (stated)", "from the width: bias ± scatter (stated)"), rows
    )


def figure_moving() -> tuple[Figure, str]:
    """Spot that leaves a ROI at rest, and the ROI that follows it."""
    rng, frames = np.random.default_rng(RNG_SEED), 60
    truth = 24.0 + 17.0 * np.arange(frames) / (frames - 1)
    x = np.diff(ndtr((np.arange(91) - 0.5 - truth[:, None]) / 3.5), axis=1)
    y = np.diff(ndtr((np.arange(41) - 0.5 - 19.3) / 3.0))
    image = xr.DataArray(rng.poisson(5_000 * y[:, None] * x[:, None, :] + 0.2), dims=("time", "y", "x"))
    image = image.astype("int32").assign_attrs(units="counts").assign_coords(time=np.arange(frames) * 1.0)
    empty = xi.Roi("BG", y=(36, 40), x=(0, 90), role="background")
    still, start = (xi.Roi(name, y=(4, 35), x=(9, 40), background=("BG",)) for name in ("at rest", "moving"))
    moving = xi.track(image, start, rois=xi.RoiSet([start, empty])).roi
    boxes = xi.RoiSet([still, moving, empty])
    series = xi.measure(image, boxes)
    profile = xi.profiles(image, moving, along="x", rois=boxes)
    figure, (left, right) = new_figure(2)
    mesh = left.pcolormesh(np.arange(frames), profile.x, profile.T, cmap="viridis", shading="nearest")
    left.plot(truth, "-", color="#ffffff", lw=0.8)
    left.set(xlabel="frame", ylabel="x (pixel)", title="kymograph of the ROI that moves")
    figure.colorbar(mesh, ax=left, label="counts")
    right.axhline(0, color="#999999", lw=0.8)
    rows = []
    for name, style in (("at rest", "s"), ("moving", "o")):
        one = series.sel(roi=name)
        off = one.com_x - truth
        right.plot(off, style, ms=3, label=name)
        error = float(np.sqrt((one.com_x_errors**2).mean()))
        rows.append((name, f"{float(off[-20:].mean()):+.2f}", f"{float(off.std()):.2f}", f"{error:.2f}"))
    right.set(xlabel="frame", ylabel="centre of mass less truth (px)", ylim=(-6, 2))
    right.legend(frameon=False)
    return figure, table(("ROI", "bias in the last 20 frames (px)", "scatter (px)", "stated error (px)"), rows)


def figure_calibration() -> tuple[Figure, str]:
    """What one value for all rows of a ROI costs, where a map is tilted."""
    rows, drawn = [], []
    for tilt in (0.0, 1e-5, 3e-5, 1e-4):
        y, x = np.arange(60)[:, None], np.arange(70)
        pixels = xi.reciprocal_axis(1.4 + 0.001 * x + tilt * (y - 29.5), "l")
        offs, stated = [], []
        for centre in (15.0, 29.5, 45.0):
            frames = repeated(20_000, flat=0.2, repetitions=50, centre=(centre, 24.6))
            series = xi.measure(frames, [xi.Roi("a", y=(0, 60), x=(0, 50), background=("edge",))])
            found = xi.calibrate(series, {"x": pixels}).isel(roi=0)
            offs.append(float(found.com_l.mean()) - (1.4 + 0.001 * 24.6 + tilt * (centre - 29.5)))
            stated.append(float(found.l_spread))
        drawn.append((tilt, *(1e3 * off for off in offs), 1e3 * stated[0]))
        rows.append((f"{1e3 * tilt:g}", *(f"{1e3 * off:+.3f}" for off in offs), f"{1e3 * stated[0]:.3f}"))
    tilt, low, middle, high, spread = np.array(drawn).T
    figure, (axis,) = new_figure(size=(5.6, 3.2))
    axis.fill_between(1e3 * tilt, -spread, spread, color="#268bd2", alpha=0.15, label="± l_spread")
    for off, where, style in ((low, 15, "v-"), (middle, 29.5, "o-"), (high, 45, "^-")):
        axis.plot(1e3 * tilt, off, style, ms=5, label=f"spot at row {where:g}")
    axis.set(xlabel="tilt of the map (0.001 r.l.u. per row)", ylabel="com_l less truth (0.001 r.l.u.)")
    axis.legend(frameon=False, fontsize=8)
    header = ("tilt (0.001 r.l.u./row)", "row 15: com_l less truth", "row 29.5", "row 45", "l_spread (0.001 r.l.u.)")
    return figure, table(header, rows)


def figure_stamps() -> tuple[Figure, str]:
    """Stamps of whole seconds against true times."""
    with tempfile.TemporaryDirectory() as folder:
        truth = xi.simulate_sample(folder, measurements=1, frames=120)
        scan = xi.open_measurement(truth.folders["time1"], tz="Asia/Tokyo", time="stamp")
        stamps = scan.time.values.astype("datetime64[s]")  # equal ones are spread within their second
        late = (truth.expected.time.values - stamps) / np.timedelta64(1, "s")
        repeats = int((np.diff(stamps) == np.timedelta64(0)).sum())
    figure, (axis,) = new_figure(size=(6.6, 2.8))
    axis.plot(scan.frame, late, ".", ms=4, color="#268bd2")
    axis.set(xlabel="frame", ylabel="true time less stamp (s)", title="a frame every 0.98 s, stamps of whole seconds")
    return figure, table(
        ("frames", "stamps that repeat", "most that a stamp is early"), [(len(late), repeats, f"{late.max():.2f} s")]
    )


def figures_of_a_sample() -> dict[str, tuple[Figure, str]]:
    """A frame with its ROIs, and the joined sample before and after the attenuation is corrected."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", xi.XinsituWarning)
        truth = xi.simulate_sample(folder)
        flat = xi.open_flatfield(truth.folders["flatfield"], tz="Asia/Tokyo")
        correction = xi.Correction(flatfield=flat)
        scans = [xi.open_measurement(path, tz="Asia/Tokyo") for path in truth.measurements]
        sample = xi.stitch([xi.measure(scan, truth.rois, correction=correction).compute() for scan in scans])
        corrected = xi.correct_attenuation(sample, truth.changes)
        frame = scans[0].image[-1].values
    return {"frame": (draw_frame(frame, truth.rois), ""), "sample": draw_sample(corrected, truth)}


def draw_frame(frame: np.ndarray, boxes: xi.RoiSet) -> Figure:
    """Last frame of the first measurement, logarithmic, with the ROIs."""
    figure, (axis,) = new_figure(size=(8.4, 3.0))
    image = axis.imshow(np.maximum(frame, 1), norm=mpl.colors.LogNorm(), cmap="magma", interpolation="nearest")
    figure.colorbar(image, ax=axis, label="counts", shrink=0.8)
    for roi in boxes:
        (y0, y1), (x0, x1) = roi.y, roi.x
        axis.add_patch(mpl.patches.Rectangle((x0 - 0.5, y0 - 0.5), x1 - x0, y1 - y0, fill=False, ec=roi.color, lw=1.4))
        axis.annotate(roi.name, (x0 + 1, y0 - 3), color=roi.color, fontsize=9)
    axis.set(xlabel="l (pixel, x)", ylabel="hk (pixel, y)")
    return figure


def draw_sample(sample: xr.Dataset, truth: object) -> tuple[Figure, str]:
    """Intensities as measured and as joined, on the truth."""
    elapsed = (sample.time - sample.time[0]) / np.timedelta64(1, "s")
    figure, (left, right) = new_figure(2, size=(9.0, 3.6))
    rows = []
    for name in (roi.name for roi in truth.rois if roi.role == "signal"):
        measured, joined = sample.intensity_measured.sel(roi=name), sample.intensity.sel(roi=name)
        expected = truth.expected.intensity.sel(roi=name)
        left.semilogy(elapsed, measured, ".", ms=2, color=COLOURS[name], label=name)
        right.semilogy(elapsed, expected, "-", lw=3, alpha=0.3, color=COLOURS[name])
        right.semilogy(elapsed, joined, ".", ms=2, color=COLOURS[name])
        off = np.nanmax(np.abs(joined.values / expected.values - 1))
        rows.append((name, f"{100 * off:.2f} %"))
    left.set(xlabel="time (s)", ylabel="intensity (counts)", title="as measured")
    right.set(xlabel="time (s)", title="joined (dots) and truth (lines)")
    left.legend(frameon=False, markerscale=4)
    return figure, table(("ROI", "largest deviation from the truth in any frame"), rows)


def figure_finder() -> tuple[Figure, str]:
    """Changes found and invented over a grid of runs."""
    figure, rows = finder_figures.figure_finder(max(2, REPETITIONS // 25))
    return figure, table(finder_figures.HEADER, rows)


FIGURES: dict[str, Callable[[], tuple[Figure, str]]] = {
    "intensity": figure_intensity,
    "background": figure_background,
    "quality": figure_quality,
    "com": figure_com,
    "com_pull": figure_com_pull,
    "fwhm": figure_fwhm,
    "fits": figure_fits,
    "median": figure_median,
    "maximum": figure_maximum,
    "attenuation": figure_attenuation,
    "finder": figure_finder,
    "slope": figure_slope,
    "ratios": figure_ratios,
    "growth_laws": figure_growth_laws,
    "peaks": figure_peaks,
    "sizes": figure_sizes,
    "moving": figure_moving,
    "calibration": figure_calibration,
    "stamps": figure_stamps,
    **field_figures.FIGURES,
    **shape_figures.FIGURES,
}
OUTPUTS = tuple(f"{name}.{kind}" for name in (*FIGURES, "frame", "sample") for kind in ("png", "table.md"))


def main(folder: Path) -> None:
    """Write a figure and a Markdown table for each name."""
    folder.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", xi.XinsituWarning)  # few counts are what is shown
        made = {name: make() for name, make in FIGURES.items()} | figures_of_a_sample()
    for name, (figure, text) in made.items():
        figure.savefig(folder / f"{name}.png", dpi=110)
        (folder / f"{name}.table.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "_generated")
