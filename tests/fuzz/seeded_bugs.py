"""R7: seed bugs into the modules that decide numbers and files, and see which the tests find.

From the folder of the project: ``python -m tests.fuzz.seeded_bugs --each 15``. Each bug is one change of one place of
the syntax tree, in a copy of the package; the tests of the module run on it in a process forked from one that has
loaded the libraries: first some of those that run the line, and all where these find nothing. What lives is printed
with its line: it is either no bug, or a test is missing.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src"
TESTS = {
    "physics/corrections/framewise.py": [
        "physics/corrections/test_framewise.py",
        "physics/corrections/test_correction.py",
        "physics/corrections/test_images.py",
        "physics/reduction/test_median_bias.py",
        "physics/test_blocks.py",
        "test_variables.py",
    ],
    "physics/corrections/apply.py": [
        "physics/corrections/test_correction.py",
        "physics/corrections/test_framewise.py",
        "physics/corrections/test_images.py",
    ],
    "physics/reduction/quantities.py": [
        "physics/reduction/test_surfaces_by_pixels.py",
        "physics/reduction/test_numbers_by_hand.py",
        "physics/reduction/test_series.py",
        "physics/reduction/test_uncertainties.py",
        "physics/reduction/test_flags.py",
        "physics/reduction/test_further_quantities.py",
        "physics/reduction/test_maximum_errors.py",
        "physics/reduction/test_contradicted_backgrounds.py",
        "physics/reduction/test_shared_errors.py",
        "physics/reduction/test_median_bias.py",
    ],
    "physics/reduction/series.py": [
        "physics/reduction/test_series.py",
        "physics/reduction/test_numbers_by_hand.py",
        "physics/reduction/test_frame_statistics.py",
        "physics/reduction/test_roi_backgrounds.py",
        "physics/reduction/test_shared_errors.py",
        "physics/test_blocks.py",
    ],
    "physics/reduction/roi_sums.py": [
        "physics/reduction/test_surfaces_by_pixels.py",
        "physics/reduction/test_numbers_by_hand.py",
        "physics/reduction/test_series.py",
        "physics/reduction/test_uncertainties.py",
        "physics/reduction/test_median_bias.py",
        "physics/reduction/test_shaped_regions.py",
        "physics/reduction/test_roi_backgrounds.py",
    ],
    "physics/reduction/flags.py": [
        "physics/reduction/test_shared_errors.py",
        "physics/reduction/test_flags.py",
        "physics/reduction/test_series.py",
        "physics/reduction/test_median_bias.py",
        "physics/reduction/test_contradicted_backgrounds.py",
    ],
    "physics/reduction/roi_backgrounds.py": [
        "physics/reduction/test_surfaces_by_pixels.py",
        "physics/reduction/test_roi_backgrounds.py",
        "physics/reduction/test_contradicted_backgrounds.py",
        "physics/reduction/test_numbers_by_hand.py",
        "physics/reduction/test_uncertainties.py",
    ],
    "physics/reduction/roi_profiles.py": [
        "physics/reduction/test_roi_profiles.py",
        "physics/reduction/test_numbers_by_hand.py",
        "physics/reduction/test_own_axes.py",
    ],
    "recipe/steps.py": ["recipe/test_steps.py", "recipe/test_campaign.py", "recipe/test_made_from.py"],
    "physics/attenuation/factors.py": [
        "physics/attenuation/test_factor_estimates.py",
        "physics/attenuation/test_scaling.py",
        "physics/attenuation/test_overlap.py",
        "physics/attenuation/test_levels.py",
        "physics/attenuation/test_flags_and_single_frames.py",
        "physics/attenuation/test_noise.py",
    ],
    "physics/attenuation/scaling.py": [
        "physics/attenuation/test_scaling.py",
        "physics/attenuation/test_overlap.py",
        "physics/attenuation/test_sample_properties.py",
    ],
    "io/disk.py": ["io/test_disk.py", "io/test_results.py", "stories/test_no_mount.py"],
    "io/guard.py": ["io/test_guard.py", "recipe/test_steps.py", "io/test_odd_folders.py"],
    "io/results.py": ["io/test_results.py", "io/test_reopening.py"],
    "io/faults.py": ["io/test_fault_signs.py", "io/test_pending.py", "io/test_faults.py"],
    "io/times.py": ["io/test_times.py", "io/test_time_axis.py", "test_clock.py"],
    "io/log_join.py": ["io/test_log_join.py", "io/test_log_files.py"],
    "io/formats/stack.py": ["io/formats/test_stack.py", "io/test_backend.py"],
    "io/formats/zarr_stack.py": ["io/test_zarr_frames.py"],
    "io/lazy_frames.py": ["io/formats/test_stack.py", "io/test_backend.py"],
    "clock.py": ["test_clock.py", "io/test_times.py"],
    "io/formats/tiff.py": [
        "io/test_tiff.py",
        "io/formats/test_headers.py",
        "io/formats/test_frame_mutants.py",
        "io/test_times.py",
    ],
}
WAITING = 10
"""Seconds by the clock for each of the processor: what waits for nothing ends too, and a busy machine finds no bug."""
OUT_OF_TIME = {signal.SIGXCPU, signal.SIGKILL}
SOME = 8
"""Tests of a line that are run first, at most."""
COMPARE = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
ARITHMETIC = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.LShift: ast.RShift,
}  # fmt: skip


def places(tree: ast.Module) -> list[tuple[int, str]]:
    """Nodes that can be changed, by their position in the walk, and how; none inside annotations or messages."""
    hidden: set[ast.AST] = set()
    for node in ast.walk(tree):
        parts = [getattr(node, "annotation", None), getattr(node, "returns", None)]
        parts += [node] if isinstance(node, ast.Raise | ast.JoinedStr | ast.Import | ast.ImportFrom) else []
        parts += node.decorator_list if isinstance(node, ast.FunctionDef | ast.ClassDef) else []
        called = node.func if isinstance(node, ast.Call) else None
        parts += [node] if isinstance(called, ast.Name) and called.id == "warn" else []
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id.istitle():
            parts.append(node)  # aliases of types
        hidden |= {inner for part in parts if part is not None for inner in ast.walk(part)}
    found = []
    for number, node in enumerate(ast.walk(tree)):
        if node in hidden:
            continue
        if isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARE:
            found.append((number, "compare"))
        elif isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC:
            found.append((number, "arithmetic"))
        elif isinstance(node, ast.BoolOp):
            found.append((number, "and/or"))
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
            found.append((number, "not"))
        elif isinstance(node, ast.Constant) and type(node.value) in (int, float, bool):
            found.append((number, "constant"))
        elif isinstance(node, ast.If | ast.IfExp):
            found.append((number, "never"))
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            found.append((number, "left out"))
    return found


def changed(source: str, number: int, how: str) -> tuple[str, int]:
    """Return the source with one change, and its line."""
    tree = ast.parse(source)
    node = next(node for place, node in enumerate(ast.walk(tree)) if place == number)
    line = node.lineno
    if how == "compare":
        node.ops[0] = COMPARE[type(node.ops[0])]()
    elif how == "arithmetic":
        node.op = ARITHMETIC[type(node.op)]()
    elif how == "and/or":
        node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
    elif how == "not":
        node.op = ast.UAdd() if isinstance(node.op, ast.USub) else node.op
        if isinstance(node.op, ast.Not):
            node.operand = ast.UnaryOp(ast.Not(), copy.deepcopy(node.operand))
    elif how == "constant":
        node.value = not node.value if isinstance(node.value, bool) else node.value + 1
    elif how == "never":
        node.test = ast.Constant(False)
    else:
        node.value = ast.Constant(None)
    return ast.unparse(ast.fix_missing_locations(tree)), line


@contextlib.contextmanager
def package(module: str, source: str) -> Iterator[Path]:
    """Give a folder with the package, one module changed."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        shutil.copytree(SOURCE / "xinsitu", Path(folder, "xinsitu"), ignore=shutil.ignore_patterns("__pycache__"))
        Path(folder, "xinsitu", module).write_text(source)
        yield Path(folder)


def tested(module: str, source: str, seconds: float, wanted: Sequence[str], watched: Path | None) -> str:
    """Run tests on a change of a module: ``found``, ``lives`` or ``never ends``; ``watched`` gets who runs a line."""
    with package(module, source) as folder:
        child = os.fork()
        if not child:
            os.setsid()
            resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds)))
            _in_child(folder, wanted, [Lines(str(folder / "xinsitu" / module), watched)] if watched else [])
        end = time.monotonic() + WAITING * seconds
        while time.monotonic() < end:
            if (ended := os.waitpid(child, os.WNOHANG))[0]:
                code = os.waitstatus_to_exitcode(ended[1])
                return "lives" if code == 0 else "never ends" if -code in OUT_OF_TIME else "found"
            time.sleep(0.05)
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return "never ends"


class Lines:
    """A plugin of pytest: the tests that run each line of a file, as JSON."""

    def __init__(self, file: str, told: Path) -> None:
        self.file, self.told = file, told
        self.found: dict[int, list[str]] = {}

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        def line(frame, event, _):
            if event == "line" and nodeid not in (one := self.found.setdefault(frame.f_lineno, [])):
                one.append(nodeid)
            return line

        trace = lambda frame, *_: line if frame.f_code.co_filename == self.file else None  # noqa: E731
        sys.settrace(trace)
        threading.settrace(trace)

    def pytest_sessionfinish(self) -> None:
        sys.settrace(None)
        self.told.write_text(json.dumps(self.found))


def _in_child(folder: Path, wanted: Sequence[str], more: list[Lines]) -> None:
    """Run pytest on the changed package; never comes back."""
    import pytest

    status = 99
    try:
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, 1)
        os.dup2(devnull, 2)
        sys.path.insert(0, str(folder))
        os.environ["PYTHONPATH"] = str(folder)
        plugins = ["-p", "no:cacheprovider", "-p", "no:randomly", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
        status = pytest.main([*plugins, "-x", "-q", "-m", "not slow and not browser", *wanted], more)
    finally:
        os._exit(int(status))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=15, help="bugs of each module")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=240, help="of the processor that the tests of one may take")
    parser.add_argument("modules", nargs="*", help="of the list above; all")
    told = parser.parse_args()
    import cv2, dask.array, h5netcdf, h5py, pandas, pytest, scipy.optimize, tifffile, xarray  # noqa: E401, F401, I001

    fates: list[str] = []
    for module in told.modules or TESTS:
        source = (SOURCE / "xinsitu" / module).read_text()
        everything = [str(Path("tests", name)) for name in TESTS[module]]
        with tempfile.TemporaryDirectory() as folder:
            if (fate := tested(module, source, told.seconds, everything, Path(folder, "lines"))) != "lives":
                print(f"{module}: its tests fail without a bug ({fate})", flush=True)
                continue
            runs = json.loads(Path(folder, "lines").read_text())
        rng = random.Random(f"{told.seed}{module}")
        found = places(ast.parse(source))
        for number, how in rng.sample(found, min(told.each, len(found))):
            bug, line = changed(source, number, how)
            first = runs.get(str(line), [])
            fate = tested(module, bug, told.seconds, first[:: -(-len(first) // SOME)], None) if first else "lives"
            if fate == "lives":
                fate = tested(module, bug, told.seconds, everything, None)
            fates.append(fate)
            text = source.splitlines()[line - 1].strip()
            if fate == "lives":
                print(f"{module}:{line}: {how}: {text}", flush=True)
        ended = f", {fates.count('never ends')} of them by their time" if "never ends" in fates else ""
        print(f"{module}: {len(fates) - fates.count('lives')} of {len(fates)} found so far{ended}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
