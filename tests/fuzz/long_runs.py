"""The long runs whose figures stand in docs/reliability.md; the short ones of the same kind are in every test run.

From the folder of the project, at the lowest priority::

    nice -n 19 python -m tests.fuzz.long_runs --mutants 200000
    nice -n 19 python -m tests.fuzz.long_runs --fuzz 10000000 walk stamps   # needs atheris
    nice -n 19 python -m tests.fuzz.long_runs --follow 40                   # minutes
    nice -n 19 python -m tests.fuzz.long_runs --kills 200
    nice -n 19 python -m tests.fuzz.long_runs --folders 10000 --seed 1

What must not be is written to ``found/`` below the working folder, one file each, and ends with exit code 1.
"""

from __future__ import annotations

import argparse
import logging
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None


def told(*words: object) -> None:
    """Print one line with its moment."""
    print(datetime.now(UTC).strftime("%Y-%m-%d %H:%M"), *words, flush=True)


def mutants(count: int, seed: int) -> int:
    """R3: structured mutants of whole frames of every layout."""
    from tests.fuzz.frame_mutants import run, seeds, wrongly

    logging.disable()
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        found, odd = run(count, Path(folder), seed)
    wrong = [one for one in odd if wrongly(one)]
    told(
        f"{count} mutants of {len(seeds())} layouts, seed {seed}, {time.monotonic() - begin:.0f} s: {len(wrong)} wrong"
    )
    for fate, number in found.most_common():
        print(f"{number:9d} {fate}")
    for number, one in enumerate(wrong):
        Path("found").mkdir(exist_ok=True)
        Path("found", f"frame-{seed}-{number}").write_bytes(one.data)
        print(f"found/frame-{seed}-{number}: {one.layout}: {one.fate}")
    return 1 if wrong else 0


def fuzz(runs: int, names: list[str]) -> int:
    """R2: so many executions of each parser, with what atheris finds; errors of one kind, 50 ms each, little memory."""
    from tests.fuzz.in_memory import PARSERS

    status = 0
    for name in names or list(PARSERS):
        begin = time.monotonic()
        with tempfile.TemporaryDirectory(dir=MEMORY) as corpus:
            command = [sys.executable, "-m", "tests.fuzz.fuzz", name, f"-runs={runs}", "-max_len=8192", "-timeout=60"]
            command += ["-rss_limit_mb=1000", "-verbosity=0", "-print_final_stats=1", f"-artifact_prefix=found-{name}-"]
            run = subprocess.run([*command, corpus], capture_output=True, text=True, check=False)
        lines = (line[6:].split(":") for line in run.stderr.splitlines() if line.startswith("stat::"))
        facts = {key: value.strip() for key, value in lines}
        told(
            f"{name}: {facts.get('number_of_executed_units')} executions, {time.monotonic() - begin:.0f} s, slowest "
            f"{facts.get('slowest_unit_time_sec')} s, {facts.get('peak_rss_mb')} MB, exit code {run.returncode}"
        )
        if run.returncode:
            print(run.stdout[-2000:], run.stderr[-4000:], sep="\n")
            status = 1
    return status


def folders(count: int, number: int) -> int:
    """R4: so many folders that live, by chance alone, a hundred at a time; what fails is shrunk and printed."""
    from hypothesis import HealthCheck, Phase, seed, settings
    from hypothesis.stateful import run_state_machine_as_test
    from tests.io.test_folder_machine import Folder

    phases = (Phase.generate, Phase.shrink)
    chosen = settings(Folder.TestCase.settings, max_examples=100, phases=phases, database=None)
    chosen = settings(chosen, suppress_health_check=list(HealthCheck))
    begin = time.monotonic()
    for hundred in range(-(-count // 100)):
        run_state_machine_as_test(seed(1000 * number + hundred)(type("Some", (Folder,), {})), settings=chosen)
        told(f"{100 * (hundred + 1)} folders, seed {number}, {time.monotonic() - begin:.0f} s: none wrong")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutants", type=int, metavar="N", help="structured mutants of whole frames")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fuzz", type=int, metavar="N", help="executions of each parser that is named, or of all")
    parser.add_argument("--follow", type=float, metavar="MINUTES", help="a folder that grows, followed")
    parser.add_argument("--kills", type=int, metavar="N", help="of a writer; and half as many races of two")
    parser.add_argument("--folders", type=int, metavar="N", help="that live, of fifteen steps each")
    parser.add_argument("names", nargs="*", help="parsers of tests/fuzz/in_memory.py")
    told_of = parser.parse_args()
    print(f"Python {platform.python_version()}, {platform.platform()}, {os.cpu_count()} cores")
    status = 0
    if told_of.mutants:
        status |= mutants(told_of.mutants, told_of.seed)
    if told_of.fuzz:
        status |= fuzz(told_of.fuzz, told_of.names)
    if told_of.kills:
        from tests.fuzz.kills import kills, races

        status |= kills(told_of.kills, told) | races(told_of.kills // 2, told)
    if told_of.folders:
        status |= folders(told_of.folders, told_of.seed)
    if told_of.follow:
        from tests.fuzz.soak import soak

        status |= soak(60 * told_of.follow, told)
    return status


if __name__ == "__main__":
    sys.exit(main())
