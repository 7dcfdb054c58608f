"""``convert``: files of the old scripts."""

from __future__ import annotations

import argparse
from pathlib import Path

from xinsitu.io.disk import refuse_other_format
from xinsitu.io.exchange.old_pickles import read_old_pickle
from xinsitu.io.guard import check_outputs
from xinsitu.io.results import write_results

from .console import say, say_block, table


def convert(words: argparse.Namespace) -> int:
    """Write what a pickle of the old scripts holds as netCDF."""
    output = words.output or Path(words.path.with_suffix(".nc").name)
    refuse_other_format(output)
    check_outputs([output], inputs=[words.path], overwrite=words.force)
    found = read_old_pickle(words.path)
    rows = [(name, " x ".join(map(str, one.shape)) or "1", one.dtype) for name, one in found.variables.items()]
    write_results(found, output, overwrite=words.force)
    say_block(table(rows, ("name", "shape", "kind")))
    say(f"wrote {output.resolve()}")
    return 0
