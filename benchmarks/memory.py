"""Memory that the ROI time series of many frames takes above the imports, in a process of its own for each number.

The frames are links to a few files, as many names as asked for. Exits 1 where a series takes more than the bar, or its
graph longer.

    python benchmarks/memory.py --frames 20000 100000
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile

MOST, GRAPH = 400.0, 1.0
"""MB above the imports, and seconds of processor for the graph."""
LINKS = 20_000
"""Names that one file may have."""


def frames(folder: Path, count: int) -> None:
    """Fill a folder with names of a few files."""
    folder.mkdir()
    for number in range(count):
        path, first = (folder / f"run_{one:06d}.tif" for one in (number, number // LINKS * LINKS))
        if path == first:
            frame = np.random.default_rng(number).poisson(6, (195, 487)).astype("int32")
            tifffile.imwrite(path, frame, datetime="2015:02:03 10:11:12")
        else:
            os.link(first, path)


def peak() -> float:
    """Return the most memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measured(folder: Path) -> dict[str, float]:
    """Open and measure, and say what it took."""
    import cv2  # noqa: F401 - what measuring imports, before it is asked how much memory that takes
    import dask.array  # noqa: F401
    import scipy.ndimage  # noqa: F401

    import xinsitu as xi

    dark = xi.Roi("dark", (0, 20), (0, 487), role="background")
    rois = [xi.Roi(f"spot{n}", (20 + 30 * n, 50 + 30 * n), (200, 270), background=["dark"]) for n in range(4)]
    correction, imports = xi.Correction(median=3, threshold=5), peak()
    scan = xi.open_measurement(folder, instrument="generic", tz="UTC", order_error="ignore")
    opened, begun = peak(), time.process_time()
    lazy = xi.measure(scan, [*rois, dark], correction=correction)
    graph = time.process_time() - begun
    series = lazy.compute()
    return {"open": opened - imports, "graph": graph, "all": peak() - imports, "result": series.nbytes / 2**20}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, nargs="+", default=[20_000, 100_000])
    parser.add_argument("--measure", type=Path)
    words = parser.parse_args()
    if words.measure:
        print(json.dumps(measured(words.measure)))
        return 0
    missed = False
    for count in words.frames:
        with tempfile.TemporaryDirectory() as room:
            frames(Path(room) / "time1", count)
            command = [sys.executable, "-W", "ignore", __file__, "--measure", str(Path(room) / "time1")]
            found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        print(
            f"{count} frames: opened {found['open']:.0f} MB, measured {found['all']:.0f} MB above the imports, the "
            f"series itself {found['result']:.0f} MB; graph {found['graph']:.2f} s"
        )
        missed |= found["all"] > MOST or found["graph"] > GRAPH
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
