"""Stages of the way from a folder of frames to the changes of attenuation, one after the other."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import xarray as xr

import xinsitu as xi
from xinsitu.physics.reduction.frame_statistics import statistics_block
from xinsitu.physics.reduction.quantities import algebra_block
from xinsitu.physics.reduction.roi_plan import fitted

FRAMES = 500
ROIS = xi.RoiSet(
    [
        *(xi.Roi(f"R{n}", y=(60, 150), x=(40 + 100 * n, 100 + 100 * n), background=("edge",)) for n in range(4)),
        xi.Roi("empty", y=(5, 40), x=(200, 280), role="background"),
    ]
)
CORRECTION = xi.Correction(median=3, threshold=5, background=xi.Background(y=(70, 90), x=(150, 170)))


class Stages:
    """One stage, of the same simulated frames; the first use of anything is not counted."""

    timeout = 600

    def setup_cache(self) -> str:
        """Simulate the frames, once for all stages of a commit."""
        folder = Path(tempfile.mkdtemp(dir=".")).resolve()
        return str(next(path for name, path in xi.simulate_frames(folder, FRAMES).folders.items() if "time" in name))

    def setup(self, folder: str) -> None:
        warnings.simplefilter("ignore")
        self.lazy = self.opened(folder)
        self.here = self.lazy.load()
        self.fit = fitted(self.here, ROIS, CORRECTION)
        self.frames = self.fit.image.values
        self.rows = statistics_block(self.frames, self.fit.per_frame, plan=self.fit.plan, shared=None)
        self.series = xi.measure(self.here, ROIS, correction=CORRECTION).compute()
        self.room = tempfile.TemporaryDirectory()

    def teardown(self, folder: str) -> None:
        self.room.cleanup()

    def opened(self, folder: str) -> xr.Dataset:
        return xi.open_measurement(folder, tz="Asia/Tokyo", order_error="ignore")

    def time_open(self, folder: str) -> None:
        self.opened(folder)

    def time_read(self, folder: str) -> None:
        self.opened(folder).load()

    def time_correct(self, folder: str) -> None:
        xi.correct(self.here, CORRECTION).compute()

    def time_statistics(self, folder: str) -> None:
        statistics_block(self.frames, self.fit.per_frame, plan=self.fit.plan, shared=None)

    def time_algebra(self, folder: str) -> None:
        algebra_block(self.rows, self.fit.per_frame, plan=self.fit.plan, shared=None)

    def time_measure(self, folder: str) -> None:
        xi.measure(self.opened(folder), ROIS, correction=CORRECTION).compute()

    def peakmem_measure(self, folder: str) -> None:
        xi.measure(self.opened(folder), ROIS, correction=CORRECTION).compute()

    def time_parse(self, folder: str) -> None:
        xi.write_frames(xi.correct(self.opened(folder), CORRECTION), Path(self.room.name, "f.nc"), overwrite=True)

    def time_find_changes(self, folder: str) -> None:
        xi.find_attenuation_changes(self.series)

    def time_write(self, folder: str) -> None:
        xi.write_results(self.series, Path(self.room.name, "s.nc"), overwrite=True)

    def time_figure(self, folder: str) -> None:
        xi.save_plot(self.series, Path(self.room.name, "s.png"), overwrite=True)
