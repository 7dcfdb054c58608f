"""Compare xinsitu with the classic way, with other libraries and with the limit, on the same simulated frames.

Three jobs, each from a folder of frames to its result:

- ``parse``: every frame through a 3x3 median, the flat field and a background, written to HDF5;
- ``series``: the same corrections, then sum, centre of mass and FWHM of four ROIs per frame;
- ``sums``: sum and centre of mass of four ROIs per frame, of frames as they are, each variant on one thread.

The limit is what the operating system needs to hand over the same bytes (``os.preadv``), and for ``parse`` to take
the result. ``memmap`` is NumPy on one file of all frames, sums and centres of mass without any correction: less work,
and on data that no detector writes. LiberTEM reads the same file, as it knows no folders of TIFF files, and runs where
``--libertem`` names a Python that has it. The variants run interleaved, each in a process of its own, so that a noisy
machine hits all of them and peak memory is each one's own. Read the ratios: each is that of runs beside each other,
and the median of all rounds counts. Exits 1 where a bar is missed by more than noise, which is where no round reaches
it; not with ``--quick``.

    python benchmarks/compare.py --frames 2000
    python benchmarks/compare.py --frames 2000 --table    # as it stands in docs/performance.md
    python benchmarks/compare.py --quick
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import pkgutil
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

SHAPE, HEADER = (195, 487), 4096
BACKGROUND = ((70, 90), (150, 170))
JOBS = {
    "parse": ("classic", "dask-image", "xinsitu", "limit"),
    "series": ("classic", "dask-image", "memmap", "xinsitu, 1 thread", "xinsitu", "limit"),
    "sums": ("tifffile + dask", "memmap", "LiberTEM", "xinsitu, 1 thread", "limit"),
}
SAID = {
    "parse": "corrected frames to HDF5",
    "series": "series of four ROIs",
    "sums": "sum and centre of mass of four ROIs, no correction",
}
BARS = (
    ("parse", "classic", "xinsitu", "seconds", 25),
    ("parse", "xinsitu", "limit", "cpu", 2.5),
    ("series", "classic", "xinsitu, 1 thread", "seconds", 50),
    ("series", "classic", "xinsitu", "seconds", 60),
    ("series", "xinsitu, 1 thread", "limit", "cpu", 3),
    ("sums", "LiberTEM", "xinsitu, 1 thread", "cpu", 1),
    ("sums", "xinsitu, 1 thread", "limit", "cpu", 2.5),
)
"""Job, two variants, what is compared, and the bar: at least so often where the first is another way of doing it, at
most so often where the second is the limit."""


def frame_paths(data: Path, frames: int) -> list[Path]:
    return sorted((data / "0884" / "time1").glob("*.tif"))[:frames]


def roi_boxes(data: Path) -> dict[str, tuple[slice, slice]]:
    rois = json.loads((data / "rois.json").read_text())["rois"]
    return {r["name"]: (slice(*r["y"]), slice(*r["x"])) for r in rois if r["role"] == "signal"}


# -- the classic way: everything in one float64 array, one frame at a time through scipy ------------------------------


def classic_stack(data: Path, frames: int):
    import numpy as np
    import tifffile
    from scipy.ndimage import median_filter

    stack = np.array([tifffile.imread(path) for path in frame_paths(data, frames)], dtype=float)
    for number, frame in enumerate(stack):
        stack[number] = median_filter(frame, size=3)
    flat = np.mean([tifffile.imread(path) for path in sorted((data / "flatfield1").glob("*.tif"))], axis=0)
    flat = median_filter(flat / flat.mean(), size=3)
    stack /= flat
    (y0, y1), (x0, x1) = BACKGROUND
    stack -= stack[:, y0:y1, x0:x1].mean(axis=(1, 2))[:, None, None]
    return stack


def classic_parse(data: Path, frames: int, out: Path) -> float:
    import h5py
    import numpy as np
    import tifffile

    stack = classic_stack(data, frames)
    stamps = [tifffile.TiffFile(path).pages[0].datetime.timestamp() for path in frame_paths(data, frames)]
    with h5py.File(out, "w") as file:
        file["image"] = stack
        file["time"] = np.array(stamps)
    return float(stack[:: max(frames // 10, 1), 60:150, 210:270].sum())


def classic_series(data: Path, frames: int, out: Path) -> float:
    import numpy as np
    from scipy.ndimage import center_of_mass

    stack = classic_stack(data, frames)
    rows = []
    for frame in stack:
        for box in roi_boxes(data).values():
            crop = frame[box]
            com = center_of_mass(crop)
            rows.append((crop.sum(), *com, classic_fwhm(crop.sum(axis=1)), classic_fwhm(crop.sum(axis=0))))
    np.save(out, rows)
    return float(np.array(rows)[:, 0].sum())


def classic_fwhm(profile) -> float:
    import numpy as np

    above = np.flatnonzero(profile > profile.max() / 2)
    return float(above[-1] - above[0])


# -- dask-image -------------------------------------------------------------------------------------------------------


def dask_image_stack(data: Path, frames: int):
    import numpy as np
    from dask_image.imread import imread
    from dask_image.ndfilters import median_filter

    raw = imread(str(data / "0884" / "time1" / "*.tif"))[:frames].astype("float32")
    flat = imread(str(data / "flatfield1" / "*.tif")).mean(axis=0).compute()
    flat = np.asarray(median_filter(_dask(flat / flat.mean()), size=3), dtype="float32")
    clean = median_filter(raw, size=(1, 3, 3)) / flat
    (y0, y1), (x0, x1) = BACKGROUND
    return clean - clean[:, y0:y1, x0:x1].mean(axis=(1, 2))[:, None, None]


def _dask(array):
    import dask.array as da

    return da.from_array(array, chunks=-1)


def dask_image_parse(data: Path, frames: int, out: Path) -> float:
    import h5py

    clean = dask_image_stack(data, frames)
    clean.to_hdf5(out, "/image")
    with h5py.File(out) as file:
        return float(file["image"][:: max(frames // 10, 1), 60:150, 210:270].sum(dtype=float))


def dask_image_series(data: Path, frames: int, out: Path) -> float:
    import dask
    import numpy as np

    clean = dask_image_stack(data, frames)
    lazy = []
    for box in roi_boxes(data).values():
        crop = clean[(slice(None), *box)]
        lazy += [crop.sum(axis=2), crop.sum(axis=1)]
    profiles = dask.compute(*lazy)
    total = 0.0
    for along_y, along_x in zip(profiles[::2], profiles[1::2], strict=True):
        sums = along_y.sum(axis=1, dtype=float)
        total += sums.sum()
        _ = (along_y @ np.arange(along_y.shape[1]) / sums, along_x @ np.arange(along_x.shape[1]) / sums)
        _ = [classic_fwhm(profile) for part in (along_y, along_x) for profile in part]
    return float(total)


# -- xinsitu ----------------------------------------------------------------------------------------------------------


def xinsitu_corrected(data: Path):
    import xinsitu as xi

    (y, x) = BACKGROUND
    scan = xi.open_measurement(data / "0884" / "time1", order_error="ignore", tz="Asia/Tokyo", logs=None)
    flat = xi.median(xi.open_flatfield(data / "flatfield1", tz="Asia/Tokyo").expand_dims("time")).isel(time=0)
    return scan, xi.Correction(median=3, flatfield=flat, background=xi.Background(y=y, x=x, mode="subtract"))


def xinsitu_parse(data: Path, frames: int, out: Path) -> float:
    import h5py

    import xinsitu as xi

    scan, correction = xinsitu_corrected(data)
    xi.write_frames(xi.correct(scan.isel(time=slice(frames)), correction), out)
    with h5py.File(out) as file:
        return float(file["image"][:: max(frames // 10, 1), 60:150, 210:270].sum(dtype=float))


def xinsitu_series(data: Path, frames: int, out: Path) -> float:
    import xinsitu as xi

    scan, correction = xinsitu_corrected(data)
    rois = [
        xi.Roi(name, y=(y.start, y.stop), x=(x.start, x.stop), measure=("intensity", "com", "fwhm"))
        for name, (y, x) in roi_boxes(data).items()
    ]
    series = xi.measure(scan.isel(time=slice(frames)), rois, correction=correction).compute()
    series.drop_vars("stamp", errors="ignore")["intensity"].to_pandas().to_csv(out)
    return float(series["intensity"].sum())


def xinsitu_sums(data: Path, frames: int, out: Path) -> float:
    import xinsitu as xi

    scan = xi.open_measurement(data / "0884" / "time1", order_error="ignore", tz="Asia/Tokyo", logs=None)
    rois = [
        xi.Roi(name, y=(y.start, y.stop), x=(x.start, x.stop), measure=("intensity", "com"))
        for name, (y, x) in roi_boxes(data).items()
    ]
    series = xi.measure(scan.isel(time=slice(frames)), rois).compute()
    series["intensity"].to_pandas().to_csv(out)
    return float(series["intensity"].sum() + series["com_y"].sum() + series["com_x"].sum())


# -- tifffile and dask ------------------------------------------------------------------------------------------------


def dask_sums(data: Path, frames: int, out: Path) -> float:
    import dask
    import dask.array as da
    import numpy as np
    import tifffile

    def read(paths):
        return np.array([tifffile.imread(path) for path in paths])

    paths = frame_paths(data, frames)
    parts = [paths[begin : begin + 50] for begin in range(0, frames, 50)]
    stack = da.concatenate([da.from_delayed(dask.delayed(read)(p), (len(p), *SHAPE), "int32") for p in parts])
    crops = [stack[(slice(None), *box)] for box in roi_boxes(data).values()]
    profiles = dask.compute([(crop.sum(axis=2), crop.sum(axis=1)) for crop in crops])[0]
    rows = [centred(*both, box) for both, box in zip(profiles, roi_boxes(data).values(), strict=True)]
    np.save(out, rows)
    return float(np.sum(rows))


def centred(along_y, along_x, box: tuple[slice, slice]):
    """Return sums, and centres of mass on the detector, ``(sum y x, ...)``, of profiles along y and x."""
    import numpy as np

    total = along_y.sum(axis=-1)
    y, x = (np.arange(part.start, part.stop) for part in box)
    return np.array([total, along_y @ y / total, along_x @ x / total])


# -- LiberTEM ---------------------------------------------------------------------------------------------------------


def libertem_sums(data: Path, frames: int, out: Path) -> float:
    import libertem.api as lt
    import numpy as np
    from libertem.udf import UDF

    class Sums(UDF):
        def get_preferred_input_dtype(self):
            return self.USE_NATIVE_DTYPE

        def get_result_buffers(self):
            return {"rows": self.buffer(kind="nav", dtype="float64", extra_shape=(len(self.params.boxes), 3))}

        def process_frame(self, frame):
            for number, box in enumerate(self.params.boxes):
                crop = frame[box]
                self.results.rows[number] = centred(crop.sum(axis=1), crop.sum(axis=0), box)

    with lt.Context.make_with("inline") as context:
        stack = context.load("npy", path=str(one_file(data, frames)), nav_shape=(frames,), sig_shape=SHAPE)
        found = context.run_udf(stack, Sums(boxes=[tuple(box) for box in roi_boxes(data).values()]))
    rows = found["rows"].data
    np.save(out, rows)
    return float(rows.sum())


# -- NumPy on a memory map --------------------------------------------------------------------------------------------


def one_file(data: Path, frames: int) -> Path:
    """All frames in one file of NumPy's, written once and outside the clock."""
    import numpy as np
    import tifffile

    path = data / f"frames{frames}.npy"
    if not path.exists():
        np.save(path, np.array([tifffile.imread(name) for name in frame_paths(data, frames)]))
    return path


def memmap_series(data: Path, frames: int, out: Path) -> float:
    import numpy as np

    stack, rows = np.load(one_file(data, frames), mmap_mode="r"), []
    for begin in range(0, frames, 50):
        for box in roi_boxes(data).values():
            crop = stack[(slice(begin, begin + 50), *box)]
            rows.append(centred(crop.sum(axis=2), crop.sum(axis=1), box))
    np.save(out, np.concatenate(rows, axis=1))
    return float(sum(part.sum() for part in rows))


# -- the limit --------------------------------------------------------------------------------------------------------


def limit(data: Path, frames: int, out: Path, *, write: bool) -> float:
    import numpy as np

    block = np.empty((50, *SHAPE), dtype="int32")
    paths, total = frame_paths(data, frames), 0.0
    target = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) if write else -1
    for begin in range(0, frames, len(block)):
        part = paths[begin : begin + len(block)]
        for frame, path in zip(block, part, strict=False):
            handle = os.open(path, os.O_RDONLY)
            os.preadv(handle, [memoryview(frame).cast("B")], HEADER)
            os.close(handle)
        if write:
            os.write(target, memoryview(block[: len(part)]).cast("B"))
    if write:
        os.close(target)
    return total


VARIANTS: dict[tuple[str, str], Callable[[Path, int, Path], float]] = {
    ("parse", "classic"): classic_parse,
    ("parse", "dask-image"): dask_image_parse,
    ("parse", "xinsitu"): xinsitu_parse,
    ("parse", "limit"): lambda data, frames, out: limit(data, frames, out, write=True),
    ("series", "classic"): classic_series,
    ("series", "dask-image"): dask_image_series,
    ("series", "xinsitu"): xinsitu_series,
    ("series", "memmap"): memmap_series,
    ("series", "xinsitu, 1 thread"): xinsitu_series,
    ("series", "limit"): lambda data, frames, out: limit(data, frames, out, write=False),
    ("sums", "tifffile + dask"): dask_sums,
    ("sums", "memmap"): memmap_series,
    ("sums", "LiberTEM"): libertem_sums,
    ("sums", "xinsitu, 1 thread"): xinsitu_sums,
    ("sums", "limit"): lambda data, frames, out: limit(data, frames, out, write=False),
}


def import_everything(variant: str) -> None:
    """Import before the clock starts: what is compared is the job."""
    if variant == "LiberTEM":
        import libertem.api
        import libertem.udf  # noqa: F401

        return
    import h5py  # noqa: F401
    import scipy.ndimage  # noqa: F401
    import tifffile  # noqa: F401

    if variant == "dask-image":
        import dask_image.imread
        import dask_image.ndfilters  # noqa: F401
    if variant == "tifffile + dask":
        import dask.array
    if variant.startswith("xinsitu"):
        import cv2  # noqa: F401
        import dask.array  # noqa: F401
        import distributed  # noqa: F401 - xarray asks for it when it writes

        import xinsitu.io
        import xinsitu.physics

        for package in (xinsitu.io, xinsitu.physics):
            for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
                importlib.import_module(module.name)


def warm_up(scratch: Path, frames: int) -> None:
    """Write as much as the result will hold, and remove it: a virtual machine hands out pages slowly the first time.

    Without this the variant that runs after a pause pays for the pages, and the next one has them for nothing.
    """
    block = bytes(SHAPE[0] * SHAPE[1] * 4 * 50)
    with scratch.open("wb") as file:
        for _ in range(0, frames, 50):
            file.write(block)
    scratch.unlink()


OUTPUTS = {"parse": "out.nc", "series": "out.npy", "sums": "out.npy"}
"""Names of what each job writes; the ending says what it is."""


def run_here(job: str, variant: str, data: Path, frames: int) -> None:
    """Run one variant in this process and print what it took as JSON."""
    import_everything(variant)
    if variant in ("memmap", "LiberTEM"):
        one_file(data, frames)
    if variant in ("xinsitu, 1 thread", "tifffile + dask"):
        import dask

        dask.config.set(scheduler="synchronous")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    with tempfile.TemporaryDirectory(dir=data) as folder:
        warm_up(Path(folder) / "scratch", frames)
        begin, cpu = time.perf_counter(), time.process_time()
        check = VARIANTS[job, variant](data, frames, Path(folder) / OUTPUTS[job])
        seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        json.dumps(
            {
                "seconds": seconds,
                "cpu": time.process_time() - cpu,
                "peak": peak,
                "above": peak - before,
                "check": check,
            }
        )
    )


def run_apart(job: str, variant: str, data: Path, frames: int, python: str) -> dict[str, float]:
    os.sync()  # nobody waits for the disc because of what the one before wrote
    command = [python, "-W", "ignore", __file__, "--run", job, variant, str(data), str(frames)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{job} {variant} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def report(job: str, results: dict[str, list[dict[str, float]]], frames: dict[str, int]) -> None:
    """Print one table; times are per 1,000 frames, as the slow variants may have been given fewer."""
    per_thousand = {
        variant: statistics.median(run["seconds"] for run in runs) / frames[variant] * 1000
        for variant, runs in results.items()
    }
    from xinsitu.native import kernel_name

    print(f"\n{kernel_name()} kernel, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    first = next(iter(results))
    print(f"\n{job}: {SAID[job]}")
    print(
        f"{'variant':<18}{'frames':>8}{'s':>9}{'s/1000':>9}{'CPU s':>8}{'peak MB':>9}{'above imports':>15}"
        f"{f'x faster than {first}':>31}{'x the limit':>13}"
    )
    for variant, runs in results.items():
        middle = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        print(
            f"{variant:<18}{frames[variant]:>8}{middle['seconds']:>9.2f}{per_thousand[variant]:>9.2f}"
            f"{middle['cpu']:>8.2f}{middle['peak']:>9.0f}{middle['above']:>15.0f}"
            f"{per_thousand[first] / per_thousand[variant]:>31.1f}"
            f"{per_thousand[variant] / per_thousand['limit']:>13.1f}"
        )


def missed(job: str, results: dict[str, list[dict[str, float]]], frames: dict[str, int]) -> int:
    """Hold ratios of runs beside each other against the bars; returns how many are missed by more than noise."""
    count = 0
    for of, one, other, what, bar in BARS:
        if of != job or not {one, other} <= results.keys():
            continue
        ratios = [
            (a[what] / frames[one]) / (b[what] / frames[other])
            for a, b in zip(results[one], results[other], strict=True)
        ]
        middle = statistics.median(ratios)
        at_most = other == "limit"
        reached, near = (middle <= bar, min(ratios) <= bar) if at_most else (middle >= bar, max(ratios) >= bar)
        count += not reached and not near
        said = "reached" if reached else "missed, within noise" if near else "MISSED"
        print(f"{one} / {other}, {what}: {middle:.1f} ({'at most' if at_most else 'at least'} {bar}: {said})")
    return count


Results = dict[str, list[dict[str, float]]]
ROWS = (
    ("parse", "xinsitu", "corrected frames to HDF5"),
    ("series", "xinsitu, 1 thread", "series of four ROIs, with errors and bias, one thread"),
    ("series", "xinsitu", "the same, all threads"),
)
"""Lines of the table, of jobs that the classic way does, too."""


def table(found: dict[str, tuple[Results, dict[str, int]]], frames: int) -> str:
    """Return what the documentation shows: seconds of all frames, and how many times faster, in Markdown."""
    head = ("job", "classic", "dask-image", "xinsitu", "xinsitu against classic", "against the limit (processor)")
    lines = [head, ("---", *["---:"] * (len(head) - 1))]
    for job, variant, name in ROWS:
        if job not in found:
            continue
        results, given = found[job]

        def each(of: str, what: str = "seconds", results: Results = results, given: dict[str, int] = given) -> float:
            return statistics.median(run[what] for run in results[of]) / given[of] * frames

        seconds = [f"{each(of):.2g} s" for of in ("classic", "dask-image", variant)]
        ratio = f"{each('classic') / each(variant):.0f} times faster"
        lines.append((name, *seconds, ratio, f"{each(variant, 'cpu') / each('limit', 'cpu'):.1f}"))
    memory = []
    for of in (["classic"], ["dask-image"], ["xinsitu", "xinsitu, 1 thread"]):
        peaks = [run["above"] for results, _ in found.values() for one in of for run in results.get(one, [])]
        ends = dict.fromkeys(f"{peak:,.0f}" for peak in (min(peaks), max(peaks)))
        memory.append(f"{' to '.join(ends)} MB")
    lines.append(("memory above the imports", *memory, "", ""))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def check_equal(job: str, results: dict[str, list[dict[str, float]]], frames: dict[str, int]) -> None:
    """Hold that variants which were given the same frames found the same numbers."""
    apart = ("limit", "memmap") if job == "series" else ("limit",)  # there NumPy corrects nothing
    same = [v for v in results if v not in apart and frames[v] == frames["limit"]]
    values = [results[variant][0]["check"] for variant in same]
    if max(values) - min(values) > 1e-5 * abs(max(values)):
        raise SystemExit(f"{job}: the variants disagree: {dict(zip(same, values, strict=True))}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3, help="how often each variant runs (default 3)")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="one round; a fifth of the frames for the slow variants, which flatters them",
    )
    parser.add_argument("--table", action="store_true", help="print the table of docs/performance.md as well")
    parser.add_argument("--libertem", metavar="PYTHON", help="of an environment with LiberTEM, e.g. lt/bin/python")
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=list(JOBS))
    parser.add_argument("--data", type=Path, help="where the simulated frames are kept (default: a temporary folder)")
    parser.add_argument("--run", nargs=4, metavar=("JOB", "VARIANT", "DATA", "FRAMES"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        job, variant, data, frames = arguments.run
        run_here(job, variant, Path(data), int(frames))
        return 0
    failed, found = 0, {}
    with tempfile.TemporaryDirectory() as temporary:
        data = arguments.data or Path(temporary) / "simulated"
        simulate(data, arguments.frames)
        rounds = 1 if arguments.quick else arguments.rounds
        slow = max(arguments.frames // 5, 20) if arguments.quick else arguments.frames
        pythons = {"LiberTEM": arguments.libertem}
        for job in arguments.jobs:
            variants = [variant for variant in JOBS[job] if pythons.get(variant, sys.executable)]
            frames = {v: slow if v in ("classic", "dask-image") else arguments.frames for v in variants}
            results: dict[str, list[dict[str, float]]] = {variant: [] for variant in variants}
            for _ in range(rounds):
                for variant in variants:
                    python = pythons.get(variant, sys.executable)
                    results[variant].append(run_apart(job, variant, data, frames[variant], python))
            report(job, results, frames)
            check_equal(job, results, frames)
            failed += missed(job, results, frames)
            found[job] = results, frames
    if arguments.table:
        print(table(found, arguments.frames))
    return int(failed > 0 and not arguments.quick)  # one round knows no noise, and few frames are mostly opening


def simulate(data: Path, frames: int) -> None:
    from xinsitu import simulate_frames

    if len(frame_paths(data, frames)) < frames:
        begin = time.perf_counter()
        simulate_frames(data, frames)
        print(f"{frames} frames simulated in {time.perf_counter() - begin:.1f} s")


if __name__ == "__main__":
    sys.exit(main())
