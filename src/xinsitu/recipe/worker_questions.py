"""What the workers of a cluster are asked: which xinsitu they have, and whether they see the frames."""

from __future__ import annotations

import contextlib
import functools
import glob
import hashlib
import os
import platform
from collections.abc import Iterable, Mapping
from importlib import metadata
from itertools import islice
from pathlib import Path

PACKAGES = ("numpy", "scipy", "xarray", "dask", "distributed", "opencv-python-headless", "tifffile", "h5py")
ASKED = 200
"""Entries of a folder among which two are taken, to be looked for by the workers."""
TOPIC = "xinsitu-refused"


@functools.cache
def versions() -> dict[str, str]:
    """Return what computes here: xinsitu with a digest of its source, Python, and the packages behind numbers."""
    found = {"xinsitu": f"{metadata.version('xinsitu')} ({_source()})", "python": platform.python_version()}
    for name in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _source() -> str:
    """Digest of the package's own files: two checkouts of one version may differ."""
    folder, digest = Path(__file__).parents[1], hashlib.blake2b(digest_size=4)
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


def probes(sources: Iterable[Path | str]) -> dict[str, int]:
    """Files of frames and their sizes, for workers to look for: of each folder two, and the folder itself (-1).

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "a_0.tif").write_bytes(b"frame")
    >>> sorted(probes([folder]).values())
    [-1, 5]
    """
    found: dict[str, int] = {}
    for source in sources:
        path = os.path.abspath(source)
        if os.path.isdir(path):
            found[path] = -1
            with os.scandir(path) as entries:
                files = sorted(entry.path for entry in islice(entries, ASKED) if entry.is_file())
            for file in {*files[:1], *files[-1:]}:
                found[file] = os.stat(file).st_size
            continue
        files = [path] if os.path.exists(path) else sorted(glob.glob(path))
        found |= {file: os.stat(file).st_size for file in {*files[:1], *files[-1:]} if os.path.isfile(file)}
    return found


def answer(looked_for: Mapping[str, int]) -> tuple[dict[str, str], str]:
    """Return what a worker says: its versions, and the first file that it does not see as it is here, if any."""
    return versions(), next((path for path, size in looked_for.items() if not _seen(path, size)), "")


def _seen(path: str, size: int) -> bool:
    try:
        return size in (-1, os.stat(path).st_size) and (size >= 0 or os.path.isdir(path))
    except OSError:
        return False


def objection(worker: str, said: object, own: str) -> str:
    """Say in a sentence why a worker cannot be used; empty where it can.

    Examples
    --------
    >>> objection("tcp://10.0.0.7:4001", ({"xinsitu": "0.2.0 (8a1f03c2)"}, ""), "0.1.0 (77c0ffee)")
    'worker tcp://10.0.0.7:4001 has xinsitu 0.2.0 (8a1f03c2) and this program 0.1.0 (77c0ffee): it would give other \
numbers; install the same on both'
    """
    if not isinstance(said, tuple):
        return f"worker {worker} has another xinsitu, or none ({said}); install {own} there"
    theirs, unseen = said
    if theirs["xinsitu"] != own:
        return (
            f"worker {worker} has xinsitu {theirs['xinsitu']} and this program {own}: it would give other numbers; "
            "install the same on both"
        )
    if unseen:
        return f"worker {worker} does not see {unseen} as it is here: mount the disc there under the same path"
    return ""
