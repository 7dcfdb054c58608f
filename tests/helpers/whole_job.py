"""Everything that people do with a beamtime, command by command, reading from a disc that may be read-only.

``python -m tests.helpers.whole_job SOURCE OUTPUT [REAL]`` does all of it.
"""

from __future__ import annotations

import os
import sys
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

import xinsitu as xi
from xinsitu.app.serve import explore
from xinsitu.cli import main
from xinsitu.recipe import Reading

ZONE = ("--tz", "Asia/Tokyo")
RECIPE = """format = "xinsitu-recipe"
version = 1
sample = "{source}/0884"
rois = "{source}/rois.json"
flatfield = "{source}/flatfield1"
changes = "{source}/changes.json"
events = "{source}/events.json"
[reading]
tz = "Asia/Tokyo"
[correction]
median = 3
[output]
result = "recipe.nc"
figures = ["recipe.png"]
"""

Step = tuple[str, Callable[[], object]]


def steps(source: Path, output: Path) -> Iterator[Step]:
    """Names of the steps, and what does them; a command that fails raises."""
    one, flat, rois = source / "0884" / "time1", source / "flatfield1", source / "rois.json"
    documents = ("--changes", source / "changes.json", "--events", source / "events.json")
    results = output / "results"
    (output / "recipe.toml").write_text(RECIPE.format(source=source))
    for words in (
        ("info", source / "0884"),
        ("info", one, "--check"),
        ("info", flat),
        ("parse", one, flat, "-o", output / "frames.nc", *ZONE),
        ("measure", one, "--rois", rois, *ZONE, "-o", output / "one.nc"),
        (*("measure", one, source / "0884" / "time2", "--rois", rois), "--flatfield", flat, *ZONE, "-o", f"{results}/"),
        ("stitch", results, *documents, "-o", output / "0884.nc"),
        ("plot", output / "0884.nc", "-o", output / "0884.png"),
        ("run", output / "recipe.toml"),
        ("run", output / "0884.nc"),
    ):
        yield " ".join(map(str, words[:2])), lambda words=words: command(*words)
    yield "explore", lambda: explored(one, flat, rois)
    yield "open and persist", lambda: opened(source / "0884")


def real_steps(data: Path, output: Path) -> Iterator[Step]:
    """Do the same with the scans of Diamond I07."""
    folder = data / "i07" / "refl"
    scans = [folder / number for number in ("380404", "380405", "380406")]
    place = ("--instrument", "diamond-i07")
    xi.write_rois([xi.Roi("spot", (50, 90), (220, 270))], output / "spot.json")
    yield "info i07", lambda: command("info", folder, *place)
    words = ("measure", *scans, "--rois", output / "spot.json", *place, "-o", f"{output / 'i07'}/")
    yield "measure i07", lambda: command(*words)
    yield "stitch i07", lambda: command("stitch", output / "i07", "-o", output / "i07.nc")


def command(*words: object) -> None:
    code = main([str(word) for word in words])
    if code:
        raise AssertionError(f"xinsitu {' '.join(map(str, words))} gave {code}")


def explored(folder: Path, flat: Path, rois: Path) -> None:
    """Open the explorer, fetch its page, and let it measure."""
    explorer = explore(folder, flatfield=flat, rois=rois, reading=Reading(tz=ZONE[1]), browser=False)
    try:
        with urllib.request.urlopen(explorer.url) as page:
            assert page.status == 200
        assert np.isfinite(explorer.series["intensity"]).any()
    finally:
        explorer.stop()


def opened(sample: Path) -> None:
    """Open, compute and write through the library."""
    tree = xi.open_sample(sample, tz=ZONE[1])
    for node in tree.children.values():
        assert node["image"].isel(time=0).compute().sum() != 0


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    where = Path(sys.argv[2])
    try:
        (Path(sys.argv[1]) / "0884" / "time1" / "written").write_text("x")
    except OSError:
        pass
    else:
        raise SystemExit("the source can be written to: this proves nothing")
    os.chdir(where)
    for name, step in (
        *steps(Path(sys.argv[1]), where),
        *(real_steps(Path(sys.argv[3]), where) if sys.argv[3:] else ()),
    ):
        print("==", name, flush=True)
        step()
    print("whole job done")
