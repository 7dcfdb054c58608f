"""The four real BL11XU runs as (time, roi) Datasets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

RUNS = ("time1a", "time2", "time3", "time4")
ROIS = ("WZ", "ZB", "TW")
GAP = 60  # seconds between runs; the files only know the time within each


START = np.datetime64("2013-06-01T00:00:00", "ns")


def run(folder: Path, name: str, start: np.datetime64 = START) -> xr.Dataset:
    """One run: intensities over monitor, rows first in the files (their ``x`` is the row)."""
    table = pd.read_csv(folder / "bl11xu" / f"InAs0799_{name}.csv", index_col=0)
    numbers = table["name"].str.extract(r"_(\d+)_(\d+)\.tif").astype(int)
    seconds = table.index.to_numpy(dtype=float)

    def columns(prefix: str) -> np.ndarray:
        return table[[f"{prefix}_{roi}" for roi in ROIS]].to_numpy(dtype=float)

    return xr.Dataset(
        {
            "intensity": (("time", "roi"), columns("Int"), {"units": "1"}),
            "com_y": (("time", "roi"), columns("COM_x")),
            "com_x": (("time", "roi"), columns("COM_y")),
            "fwhm_y": (("time", "roi"), columns("FWHM_x")),
        },
        {
            "time": start + ((seconds - seconds[0]) * 1e9).astype("timedelta64[ns]"),
            "roi": list(ROIS),
            "scan": ("time", numbers[0].to_numpy()),
            "frame": ("time", numbers[1].to_numpy()),
            "measurement": name,
        },
        {"time_zone": "Asia/Tokyo"},
    )


def runs(folder: Path) -> list[xr.Dataset]:
    """All four, one after the other."""
    found: list[xr.Dataset] = []
    start = START
    for name in RUNS:
        found.append(run(folder, name, start))
        start = found[-1].time.values[-1] + np.timedelta64(GAP, "s")
    return found
