"""A measurement that grows, in steps of a test's own."""

from __future__ import annotations

from xinsitu.io.growing_results import GrowingResults
from xinsitu.live.growing_series import GrowingSeries


def put(live: GrowingSeries, results: GrowingResults, *, first: bool) -> int:
    """Write all frames, or put what is new behind what is in the file, and return how many rows were made."""
    series = live.together(*live.snapshot(tail=not first)).series
    if first:
        results.write(series, last=False)
    else:
        assert results.append(series)
    return series.sizes["time"]
