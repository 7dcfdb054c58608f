"""Statistics of a block of frames: by the compiled kernel where it knows the frames and the recipe, else by NumPy."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from xinsitu import kernels
from xinsitu.kernels import Doubles, compiled
from xinsitu.kernels.statistics import MOMENTS
from xinsitu.physics.blocks import block_function
from xinsitu.physics.corrections.framewise import NUMBER, SCALE, compiles, told
from xinsitu.values import OWN_EDGE

from . import median_bias, pixel_sums
from .region_pixels import from_middle
from .regions import Measurements, resting


@block_function
def statistics_block(
    raw: kernels.Frames,
    per_frame: Doubles,
    *,
    plan: Measurements,
    shared: float | None = None,
    out: Doubles | None = None,
) -> Doubles:
    """Statistics of each frame of a block, ``(frame, 1, column)``; into ``out`` where that is given."""
    return statistics(raw, per_frame, plan, shared, None if out is None else out[:, 0])[:, None, :]


@block_function
def statistics_in_files(
    files: compiled.InFiles, per_frame: Doubles, *, plan: Measurements, shared: float | None = None, out: Doubles
) -> kernels.Bools:
    """Fill the statistics of frames that are read one by one as they are summed; returns which are left to others."""
    still = all(region.shape is None and region.moving is None for region in plan.regions)
    if not still or plan.asks_pixels or not can_do(files, plan):
        return np.ones(len(files), dtype=bool)
    rows = out[:, 0]
    rows[...] = np.nan
    for name in ("unread", "dark"):
        rows[:, plan.layout.frame[name]] = 0
    return _by_kernel(rows, files, per_frame, plan, plan, shared)


def _by_kernel(
    rows: Doubles,
    raw: kernels.Frames | compiled.InFiles,
    per_frame: Doubles,
    plan: Measurements,
    here: Measurements,
    shared: float | None,
) -> kernels.Bools:
    """Let the kernel sum the rectangles of frames in which these are ``here``; returns which frames are left."""
    plain = [region for region in here.regions if region.shape is None]
    kernel = kernel_for(plan, raw.shape[1:], raw.dtype, tuple(region.size for region in plain))
    boxes = [*(region.box for region in plain), *(plan.steps.boxes or ())]
    factor = per_frame[:, SCALE] if plan.steps.scaled else None
    return kernel.fill(rows, raw, boxes, per_frame[:, NUMBER], factor, shared if plan.steps.needs_mean else None)


def statistics(
    raw: kernels.Frames, per_frame: Doubles, plan: Measurements, shared: float | None, out: Doubles | None = None
) -> Doubles:
    """Statistics of each frame, ``(frame, column)``, as :attr:`Measurements.layout` has them."""
    layout, able = plan.layout, can_do(raw, plan)
    result = np.empty((len(raw), layout.size)) if out is None else out
    result[...] = np.nan
    result[:, layout.frame["unread"]] = kernels.marked(raw, kernels.UNREAD)
    result[:, layout.frame["dark"]] = kernels.marked(raw, kernels.DARK)
    for run, here in resting(per_frame, plan):
        left = np.ones(run.stop - run.start, dtype=bool)
        if able:
            left = _by_kernel(result[run], raw[run], per_frame[run], plan, here, shared)
        shapes = any(region.shape is not None for region in here.regions)
        for some, rectangles in ((left, True), (~left, False)):
            if some.any() and (rectangles or shapes):
                rows = result[run][some]
                pixel_sums.fill(rows, layout, raw[run][some], per_frame[run][some], here, shared, rectangles=rectangles)
                result[np.arange(run.start, run.stop)[some]] = rows
        if (done := ~left).any() and plan.asks_pixels:
            rows = result[run][done]
            pixel_sums.fill_asked(rows, layout, raw[run][done], per_frame[run][done], here, shared)
            result[np.arange(run.start, run.stop)[done]] = rows
    return result


def can_do(raw: kernels.Frames | compiled.InFiles, plan: Measurements) -> bool:
    """Whether the kernel knows these frames and this recipe, and some rectangle; other shapes are left to NumPy."""
    return (
        compiles(raw, plan.steps)
        and not (plan.cutoff is not None and plan.cutoff <= 0)
        and any(region.shape is None for region in plan.regions)
        and all(size > 0 for region in plan.regions for size in region.size)
    )


@functools.lru_cache(maxsize=16)
def kernel_for(
    plan: Measurements, shape: tuple[int, int], dtype: np.dtype[Any], sizes: tuple[tuple[int, int], ...]
) -> compiled.Kernel:
    """Tell the kernel what to do with blocks of such frames, rectangles of these sizes; kept for the next block."""
    steps, layout, (height, width) = plan.steps, plan.layout, shape
    plain = [number for number, region in enumerate(plan.regions) if region.shape is None]
    boxes = (*plain, *range(len(plan.regions), len(plan.regions) + len(steps.boxes or ())))
    known = {number: place for place, number in enumerate(boxes)}
    levels = [(y[1] - y[0], x[1] - x[0]) for y, x in steps.boxes or ()]
    area = sum(rows * columns for rows, columns in (*sizes, *levels))
    return compiled.kernel_of(
        **told(steps, shape, dtype),
        gain=None if steps.flat is None else pixel_sums.gain_of(steps, ((0, height), (0, width))),
        pairs=[
            (known[one], known[other], column)
            for (one, other), column in layout.pairs.items()
            if one in known and other in known
        ],
        rois=[
            compiled.Shaped(
                dict(places),
                region.under in OWN_EDGE,
                size,
                _powers(size) if "moments_y" in places else None,
            )
            for number, size in zip(plain, sizes, strict=True)
            for region, places in [(plan.regions[number], layout.rois[number])]
        ],
        as_counted=plan.as_counted,
        whole=steps.median is not None and len(sizes) + len(levels) > 1 and area > height * width,
        cutoff=np.inf if plan.cutoff is None else plan.cutoff,
        ask_excess=plan.asks_median,
        ask_flat=steps.flat_counts is not None,
        ask_sparse=plan.asks_median,
        ask_raw=plan.counts and (plan.cutoff is not None or plan.dead_time is not None),
        ask_saturated=plan.cutoff is not None,
        excess_one_in=median_bias.ONE_IN,
        flat_one_in=pixel_sums.FLAT_ONE_IN,
        sparse_one_in=pixel_sums.SPARSE_ONE_IN,
        hot=pixel_sums.HOT,
    )


def _powers(size: tuple[int, int]) -> tuple[Doubles, Doubles]:
    """Powers of the place along y and x, ``(power, bin)``."""
    y, x = (np.stack([from_middle(length) ** power for power in MOMENTS["y"]]) for length in size)
    return y, x
