"""Builds the compiled kernels with what C compiler there is, into the package; without one it is built without them.

Runs at ``pip install .``, at ``pip install -e .`` and, to build anew after a change of the C sources, by itself.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDER, LIBRARY = Path("src/xinsitu/kernels"), "_compiled.so"
# no -ffast-math and no fused multiply-add: the same bits on every machine
OPTIONS = (
    *("-std=gnu99", "-O3", "-fPIC", "-shared", "-fvisibility=hidden"),
    *("-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-Wno-psabi"),
)


class KernelHook(BuildHookInterface):
    """Put the shared library beside its source, and into the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile before files are gathered; sources are handed on as they are."""
        if self.target_name == "sdist":
            return
        library = build(Path(self.root))
        if library is not None:
            build_data["force_include"][str(library)] = f"xinsitu/kernels/{library.name}"
            platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
            build_data.update(pure_python=False, tag=f"py3-none-{platform}")


def build(root: Path) -> Path | None:
    """Compile the kernel; None where that cannot be done."""
    library = root / FOLDER / LIBRARY
    unfinished = library.with_suffix(f".{os.getpid()}.tmp")
    sources = sorted((root / FOLDER).glob("_*.c"))
    content = b"".join(path.read_bytes() for path in sorted((root / FOLDER).glob("_*.[ch]")))
    said = f'-DSOURCES="{hashlib.blake2b(content, digest_size=8).hexdigest()}"'  # as xinsitu.native asks for it
    compiler = shlex.split(os.environ.get("CC", "cc"))
    try:
        command = [*compiler, *OPTIONS, said, *map(str, sources), "-o", str(unfinished), "-lm"]
        subprocess.run(command, check=True)  # noqa: S603
    except (OSError, subprocess.CalledProcessError) as error:
        library.unlink(missing_ok=True)  # one of an older source would not fit
        sys.stderr.write(f"xinsitu is built without its compiled kernels, NumPy does its work: {error}\n")
        return None
    finally:
        if unfinished.exists() and unfinished.stat().st_size:
            os.replace(unfinished, library)  # never under the feet of a process that has the old one open
    return library


if __name__ == "__main__":
    sys.exit(build(Path(__file__).parent) is None)
