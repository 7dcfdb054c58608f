"""Figures of steps of a correction, further quantities, several peaks and two-time maps, from known truth."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

import xinsitu as xi


def table(header: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Markdown table."""
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in (header, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(list(header)), *lines[1:]]) + "\n"


# -- corrections ------------------------------------------------------------------------------------------------------

STEPS = {
    "count rate": "count_rate",
    "dark": "dark",
    "background image": "background_image",
    "median of outliers": "median",
    "flat field": "flatfield",
}


def spoilt() -> tuple[xr.Dataset, xi.Correction]:
    """One frame of 2 s with everything that corrections are for, and all of these."""
    rng = np.random.default_rng(11)
    y, x = np.mgrid[:60, :70].astype(float)
    dark, empty = rng.uniform(1, 3, y.shape), 2 + 0.04 * x
    dark[rng.integers(0, 60, 6), rng.integers(0, 70, 6)] = 300
    spot = np.exp(-((y - 29.3) ** 2) / 50 - (x - 31.6) ** 2 / 35)
    flat = 1 + 0.1 * np.sin(x / 9) * np.cos(y / 7)
    rate = (20_000 * spot / spot.sum() / 2 + empty / 2) * flat + dark
    tau = 2e-4
    frame = rng.poisson(2 * rate * np.exp(-rate * tau))
    frame[rng.integers(20, 40, 4), rng.integers(20, 40, 4)] += 2000
    coords = {"time": [0], "exposure_time": 2.0}
    image = xr.DataArray(frame[None].astype("int32"), dims=("time", "y", "x"), attrs={"units": "counts"})
    images = {
        "dark": xr.DataArray(dark, dims=("y", "x"), attrs={"exposure_time": 1.0}),
        "background_image": xr.DataArray(
            empty * flat, dims=("y", "x"), attrs={"exposure_time": 2.0, "corrections": "dark"}
        ),
    }
    correction = xi.Correction(
        median=3, threshold=5, flatfield=xr.DataArray(flat, dims=("y", "x")), count_rate=tau, **images
    )
    return xr.Dataset({"image": image}, coords), correction


def figure_steps() -> tuple[Figure, str]:
    """What is wrong if one step is left out."""
    from dataclasses import replace

    scan, correction = spoilt()
    roi = [xi.Roi("spot", y=(5, 55), x=(6, 62))]
    whole = xi.measure(scan, roi, correction=correction).isel(time=0, roi=0)
    rows = []
    for name, step in STEPS.items():
        without = {step: None, **({"threshold": None} if step == "median" else {})}
        less = xi.measure(scan, roi, correction=replace(correction, **without)).isel(time=0, roi=0)
        rows.append(
            (
                name,
                f"sum {100 * float(less.intensity / whole.intensity - 1):+.1f} %, "
                f"COM {float(less.com_y - whole.com_y):+.2f}, {float(less.com_x - whole.com_x):+.2f} px, "
                f"FWHM {float(less.fwhm_y - whole.fwhm_y):+.2f}, {float(less.fwhm_x - whole.fwhm_x):+.2f} px",
            )
        )
    figure = Figure(figsize=(8.4, 3.2), layout="constrained")
    for axes, frame, title in zip(
        figure.subplots(1, 2), (scan.image, xi.correct(scan, correction).image), ("as read", "corrected"), strict=True
    ):
        axes.imshow(frame[0], vmin=0, vmax=120, origin="lower", cmap="viridis")
        axes.set(title=title, xlabel="x", ylabel="y")
    return figure, table(("left out", "what it changes"), rows)


# -- further quantities -----------------------------------------------------------------------------------------------


def figure_further() -> tuple[Figure, str]:
    """Second moment and skewness along x of a spot, with a background beside it, against counts."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[:60, :100].astype(float)
    spot = np.exp(-((y - 29.3) ** 2) / (2 * 5.0**2) - (x - 24.6) ** 2 / (2 * 4.2**2))
    rois = xi.RoiSet(
        [
            xi.Roi("spot", y=(0, 60), x=(0, 50), background=("BG",)),
            xi.Roi("BG", y=(0, 60), x=(50, 100), role="background"),
        ]
    ).also("sigma", "skewness")
    quantities = {"sigma_x": 4.2, "sigma_y": 5.0, "skewness_x": 0.0}
    rows, counts = [], (500, 2_000, 20_000, 200_000)
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in quantities}
    for number in counts:
        frames = rng.poisson(number * spot / spot.sum() + 0.5, (300, 60, 100)).astype("int32")
        image = xr.DataArray(frames, dims=("time", "y", "x"), attrs={"units": "counts"})
        series = xi.measure(image, rois).sel(roi="spot")
        row: list[object] = [f"{number:,}"]
        for name in quantities:
            known = series[name].dropna("time")
            if known.sizes["time"] < 290:
                found[name].append((np.nan, np.nan, np.nan))
                row.append(f"NaN in {300 - known.sizes['time']} of 300")
                continue
            mean, scatter = float(known.mean()), float(known.std())
            stated = float(np.sqrt((series[f"{name}_errors"] ** 2).mean()))
            found[name].append((mean, scatter, stated))
            row.append(f"{mean:.3f} ± {scatter:.3f} (stated {stated:.3f})")
        rows.append(row)
    figure = Figure(figsize=(8.4, 3.0), layout="constrained")
    for axes, (name, truth) in zip(figure.subplots(1, 3), quantities.items(), strict=True):
        mean, scatter, stated = np.array(found[name]).T
        axes.errorbar(counts, mean, scatter, fmt="o", label="mean and scatter")
        axes.fill_between(counts, mean - stated, mean + stated, alpha=0.25, label="stated error")
        axes.axhline(truth, color="k", lw=0.8)
        axes.set(xscale="log", xlim=(300, 400_000), xlabel="counts", title=name)  # where nothing is known, too
    axes.legend(fontsize=7)
    return figure, table(("counts", *quantities), rows)


# -- two-time ---------------------------------------------------------------------------------------------------------


def figure_two_time() -> tuple[Figure, str]:
    """Map of a spot that drifts, jumps, and is hidden in two frames."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:30, :50].astype(float)
    frames = []
    for number in range(200):
        place = 15 + 0.06 * max(0, number - 60) + 8 * (number >= 130)
        spot = np.exp(-((y - 14) ** 2) / 30 - (x - place) ** 2 / 30)
        frames.append(rng.poisson((0 if number in (30, 31) else 2000) * spot / spot.sum() + 0.3))
    time = np.datetime64("2014-05-28T08:00", "ns") + np.arange(200) * np.timedelta64(1, "s")
    image = xr.DataArray(np.array(frames, "int32"), dims=("time", "y", "x"), coords={"time": time})
    found = xi.two_time(image)
    same = [found.similarity.values[a, b] for a, b in ((10, 20), (100, 129), (129, 130), (10, 190))]
    pairs = ("10 and 20, nothing between", "100 and 129, drift", "129 and 130, jump", "10 and 190, all of it")
    rows = [(pair, f"{value:.2f}") for pair, value in zip(pairs, same, strict=True)]
    return xi.plot_two_time(found, x="frame"), table(("frames", "similarity"), rows)


# -- NXdata -----------------------------------------------------------------------------------------------------------


def figure_nxdata() -> tuple[Figure, str]:
    """Draw what the default chain of a file leads to, by h5py alone."""
    import tempfile

    import h5py

    with tempfile.TemporaryDirectory() as folder:
        truth = xi.simulate_sample(folder, measurements=1, frames=60)
        scan = xi.open_measurement(truth.folders["time1"], instrument="spring8-bl11xu")
        path = xi.write_results(xi.measure(scan, truth.rois), f"{folder}/time1.nc")
        figure, rows = Figure(figsize=(8.4, 3.2), layout="constrained"), []
        axes = figure.subplots()
        with h5py.File(path) as file:
            entry = file[file.attrs["default"]]
            plot = entry[entry.attrs["default"]]
            x = plot[plot.attrs["axes"][0]]
            for name in (plot.attrs["signal"], *plot.attrs["auxiliary_signals"]):
                axes.errorbar(x[:], plot[name][:], plot[f"{name}_errors"][:], label=name, lw=1)
            axes.set(xlabel=x.attrs["long_name"], ylabel=f"{plot.attrs['title']} ({plot[name].attrs['units']})")
            axes.set(yscale="log", title=path.name)
            rows += [(f"/entry/{one}", entry[one].attrs["signal"], entry[one].attrs["title"]) for one in entry]
    axes.legend(ncols=5, fontsize=8)
    return figure, table(("group", "in front", "title"), rows)


# -- ridges -----------------------------------------------------------------------------------------------------------


def figure_ridges() -> tuple[Figure, str]:
    """Ridges of three peaks that cross, come and go, at several numbers of counts."""
    x, time = np.arange(120.0), np.arange(120)
    centres = np.stack([30 + 0.5 * time, 90 - 0.5 * time, np.full(120, 8.0)])
    life = np.stack([time >= 0, time >= 0, (time > 20) & (time < 90)])
    figure, rows = Figure(figsize=(8.4, 3.6), layout="constrained"), []
    counts = (20, 200, 2_000, 20_000)
    for axes, number in zip(figure.subplots(1, 4, sharey=True), counts, strict=True):
        mean = np.full((120, 120), 0.3)
        for centre, alive, part, sigma in zip(centres, life, (1.0, 0.6, 0.7), (4.0, 4.0, 3.0), strict=True):
            bell = np.exp(-((x - centre[:, None]) ** 2) / 2 / sigma**2) / sigma / np.sqrt(2 * np.pi)
            mean = mean + number * part * alive[:, None] * bell
        profile = xr.DataArray(np.random.default_rng(3).poisson(mean).astype(float), dims=("time", "x"))
        found = xi.find_ridges(profile, "x", peaks=4, errors=np.sqrt(profile), per_count=xr.DataArray(1.0))
        axes.pcolormesh(x, time, profile, cmap="Greys", vmax=np.quantile(profile, 0.995), rasterized=True)
        for ridge in range(found.sizes["ridge"]):
            axes.plot(found.centre[:, ridge], time, ".", ms=2.5)
        for centre, alive in zip(centres, life, strict=True):
            axes.plot(np.where(alive, centre, np.nan), time, color="k", lw=0.5)
        axes.set(title=f"{number:,} counts", xlabel="x", xlim=(0, 119))
        away = np.abs(centres[0] - centres[1]) > 12
        seen = np.isfinite(found.centre.values)
        off = np.abs(found.centre.values[:, :, None] - centres.T[:, None, :]).min(axis=2)[seen & away[:, None]]
        flags = found.event.values
        happened = [f"{name} {', '.join(map(str, np.unique(np.argwhere(flags & flag)[:, 0])))}"
                    for name, flag in (("born", 1), ("dies", 2), ("crossing", 4)) if (flags & flag).any()]  # fmt: skip
        rows.append(
            (f"{number:,}", found.sizes["ridge"], f"{np.sqrt(np.mean(off**2)):.3f}", "; ".join(happened) or "none")
        )
    return figure, table(("counts", "ridges", "distance from the truth (bins)", "events in frame"), rows)


FIGURES: dict[str, Callable[[], tuple[Figure, str]]] = {
    "steps": figure_steps,
    "further": figure_further,
    "two_time": figure_two_time,
    "nxdata": figure_nxdata,
    "ridges": figure_ridges,
}
