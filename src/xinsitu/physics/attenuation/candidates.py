"""From a candidate to a change of attenuation with its frames, factor and evidence, or why it is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from xinsitu.epoch import nanoseconds
from xinsitu.errors import StitchError
from xinsitu.kernels import Indices
from xinsitu.physics.moments import frame_key, times
from xinsitu.values import AttenuationChange

from .broken_lines import PAUSE, REACH, Branch, Step, relative_steps, step_between
from .counts import Counts
from .end_points import LOCAL, Ends, curves, doubted_for_ends, half_way_cost, settle
from .factors import FactorEstimate, Floats, MedianBias, common_factor, smooth_noise
from .passages import glides
from .reports import RejectedChange, box_evidence, exposure_evidence, pause_evidence, record_evidence
from .transitions import FLICKERS, LONGEST, SHORT, Transition, is_level
from .two_sides import ratio_across

_SUM = "sum"
_TOO_SHORT = "one frame does not make a level"
_TWO_DIFFER = "two frames that differ do not make a level"
_NO_FACTOR = "there is a step, and too little is counted on one side for its factor"
_IN_THE_PAUSE = "growth in the pause between the two frames explains it as well"
_SAME = "the levels on its two sides are the same, and between them are too few frames to make one"
ON_ITS_WAY = "longer than an attenuator moves"
GROWS = "growth that begins, ends or bends explains it as well"
_BENDS = f"it bends, or takes {ON_ITS_WAY}"
_BESIDE = 3
"""Frames on each side with which a single frame is compared."""
_HALF_WAY = 3.0
"""Standard deviations by which the frame beside a single one at an end is off where it is half way to it."""
DUMP = 5
"""More frames than this without beam are a dump or a closed shutter, not an attenuator on its way."""
_AROUND = 4
"""Frames from the step at which a kink is looked for instead of it."""
_NEAREST, _EVEN, _OFF, _PART = 4, 0.003, 3.0, 0.1
"""Frames at the end of a side that must lie on its curve, within so much (relative), so many standard deviations, and
that part of the step."""
_OPEN = 3
"""Frames from the last one before to the first one after from which on several are left out."""
_SCANNED = 0.2
"""Part of the frames in motion from which a motor is scanned, and one of its steps explains nothing."""


@dataclass(frozen=True)
class Search:
    """A series, its counts, and how changes are proposed.

    Parameters
    ----------
    sample, counts
        The series as it was given, and its counts brought to one exposure time.
    window
        Frames on each side for the factor; None: as many as the growth allows.
    tolerance
        How far (relative) ROIs may disagree beyond counting.
    bias
        What a median took, where the series says it.
    """

    sample: xr.Dataset
    counts: Counts
    window: int | None
    tolerance: float
    bias: MedianBias | None

    def proposed(
        self, step: Transition, *, least: float, threshold: float
    ) -> AttenuationChange | RejectedChange | None:
        """Make a change of a step, or say why it is none; None where there is nothing to speak of."""
        counts = self.counts.around(step)
        before, after, _ = ends = settle(counts, step)
        sides = (before + 1 - step.start, step.stop - after)
        short, doubted = _short_side(step, before, after)
        if short:  # frames of the gap, which had the larger noise, may be all that a side has
            counts = self.counts.around(replace(step, before=before, after=after))
        between, estimate = self.estimate(counts, step, before, after)
        unrest = step.unrest if step.unrest > FLICKERS else 1.0
        significance, beyond = (abs(one) / unrest for one in (between.significance, between.beyond_a_kink))
        size = 0.0 if estimate is None else abs(np.log(estimate.factor))

        def refused(reason: str, frames: Sequence[int] = doubted) -> RejectedChange:
            return self.rejected(before, after, estimate, float(significance), reason, frames)

        stands = min(significance, beyond) >= threshold  # whatever is known of the factor
        judged = estimate
        if stands and estimate is not None and not estimate.is_clear(threshold * unrest, self.tolerance):
            # where growth begins near, a factor is less well known, and the step no more doubtful
            judged = self.factor(counts, step, before, after, alike=False) or estimate
        if judged is not None:
            significance = min(significance, judged.significance / unrest)
        if step.unsteady:
            return refused(
                f"the beam is too unsteady to tell, steps scatter {step.unrest:.2g} times more than by counting"
            )
        unknown = estimate is None or significance < threshold
        if size < least or unknown:
            reason = _SAME if size < least else _BENDS
            inserted = self._inserted(counts, step, before, after, least, threshold, reason)
            if inserted is not None and reason == _BENDS and min(sides) < 2:  # the frame beside them is no level
                return refused(reason)
            if inserted is not None or not stands or (estimate is not None and size < least):
                return inserted
        if min(sides) < 2:
            return refused(_TOO_SHORT)
        if len(short) == 2 and not is_level(counts.values[short], counts.errors[short]):
            return refused(_TWO_DIFFER)  # one of them may be half way; in three a line shows it
        if self._motors_move(before, after):
            return refused("motors move there, and no record says that the attenuator does")
        if (
            beyond < threshold
            or self._contradicted(counts, step, before, after)
            or glides(counts, before, after)
            or self._kinked(counts, step, before, after, threshold)
        ):
            return refused(GROWS)
        if after - before - 1 > LONGEST:
            return refused(f"it takes {after - before - 1} frames, {ON_ITS_WAY}", range(before + 1, after))
        if estimate is None or unknown:
            return refused(_IN_THE_PAUSE if counts.gap(before, after) - (after - before) > PAUSE else _NO_FACTOR)
        if judged is None or not any(one.is_common(self.tolerance) for one in (estimate, judged)):
            return refused(estimate.disagreement)
        estimate = self._doubted(counts, step, ends, self._of_the_sum(counts, step, before, after, estimate))
        if self.bias is not None:
            estimate = self.bias.doubted(estimate, *counts.beside(step, before, after))
        first, last = int(counts.positions[before]), int(counts.positions[after])
        dark = int(((counts.dark > first) & (counts.dark < last)).sum())
        evidence: dict[str, Any] = {
            **estimate.evidence(),
            "window": between.frames,
            "significance": float(beyond),
            "frames_without_beam": last - first - (after - before),  # frames without any value have no beam either
            **record_evidence(self.sample, first, last, factor=estimate.factor),
            **pause_evidence(self.sample, first, last, counts.gap(before, after) - (after - before)),
            **exposure_evidence(self.sample, first, last),
            **box_evidence(self.sample, first, last),
        }
        axis = times(self.sample)
        return AttenuationChange(
            nanoseconds(axis[first]),
            nanoseconds(axis[last]),
            factor=estimate.factor,
            factor_errors=estimate.factor_errors * unrest,
            cause="beam" if dark > DUMP else "attenuator",
            before_key=frame_key(self.sample, first),
            after_key=frame_key(self.sample, last),
            evidence=evidence,
        )

    def estimate(self, counts: Counts, step: Transition, before: int, after: int) -> tuple[Step, FactorEstimate | None]:
        """Compare the curves beside a step; no frame beyond the next step is used.

        Each ROI for itself decides whether there is one; for the factor they tell together how smooth they are.
        """
        steps, gap = float(after - before), counts.gap(before, after)
        sides = self._left(counts, step, before), self._right(counts, step, after)
        between = step_between(*sides, steps, gap, tolerance=self.tolerance)
        # a curve with a kink may leave a weak side nothing at its end
        return between, self.factor(counts, step, before, after) or self.factor(
            counts, step, before, after, alike=False
        )

    def factor(
        self, counts: Counts, step: Transition, before: int, after: int, *, alike: bool = True
    ) -> FactorEstimate | None:
        """Estimate the factor of a step, with kinks near if ROIs are ``alike``; None without a level on both sides."""
        sides = self._left(counts, step, before, alike=alike), self._right(counts, step, after, alike=alike)
        ratio = ratio_across(*sides, float(after - before), counts.gap(before, after), ends=alike)
        try:
            return common_factor(ratio.log_ratios, ratio.variances, counts.rois, method="lines", shared=ratio.shared)
        except StitchError:
            return None

    def _doubted(self, counts: Counts, step: Transition, ends: Ends, estimate: FactorEstimate) -> FactorEstimate:
        """Add to the error of a factor what frames left out may have grown by, if it is open which are half way."""
        chosen = ends.before, ends.after
        likely = [] if chosen[1] - chosen[0] < _OPEN else [pair for pair in ends.others if pair != chosen]
        others = [(self.factor(counts, step, *pair), pair) for pair in likely]
        return doubted_for_ends(
            [
                (estimate, ends.others.get(chosen, 1.0)),
                *((self._of_the_sum(counts, step, *pair, one), ends.others[pair]) for one, pair in others if one),
            ]
        )

    def _of_the_sum(
        self, counts: Counts, step: Transition, before: int, after: int, estimate: FactorEstimate
    ) -> FactorEstimate:
        """Take the factor from the weighted sum of the ROIs, which shows growth that none of them shows by itself."""
        weights = estimate.weights(counts.rois)
        used = np.flatnonzero(weights)
        sides = self._left(counts, step, before), self._right(counts, step, after)
        levels = np.fmax(sides[0].level, sides[1].level)[used]
        ends = np.r_[max(step.start, before + 1 - _NEAREST) : before + 1, after : min(step.stop, after + _NEAREST)]
        if used.size < 2 or not np.isfinite(counts.values[ends][:, used]).all():
            return estimate
        parts = weights[used] / levels
        values, noise = counts.values[:, used] @ parts, np.sqrt(counts.noise[:, used] ** 2 @ parts**2)
        summed = replace(counts, values=values[:, None], noise=noise[:, None], rois=(_SUM,))
        alone = self.factor(summed, step, before, after)
        return estimate if alone is None else estimate.of_the_sum(alone)

    @property
    def scanned(self) -> bool:
        """Whether motors move in so many frames that they are scanned."""
        return bool(self.counts.moved.size > _SCANNED * self.sample.sizes["time"])

    def _motors_move(self, before: int, after: int) -> bool:
        """Whether motors that mostly stand still move between two frames, where nothing records the attenuator."""
        counts = self.counts
        first, last = (int(counts.positions[end]) for end in (before, after))
        here = (counts.moved > first) & (counts.moved <= last)
        if not here.any() or self.scanned:
            return False
        return record_evidence(self.sample, first, last, factor=1.0).get("record_lag_frames") is None

    def _left(self, counts: Counts, step: Transition, before: int, *, alike: bool = False) -> Branch:
        return counts.side(max(step.start, before + 1 - (self.window or REACH)), before + 1, turn=-1, alike=alike)

    def _right(self, counts: Counts, step: Transition, after: int, *, alike: bool = False) -> Branch:
        return counts.side(after, min(step.stop, after + (self.window or REACH)), turn=1, alike=alike)

    def _contradicted(self, counts: Counts, step: Transition, before: int, after: int) -> bool:
        """Whether the last frames of a side lie off its curve, by a good part of the step towards the other side."""
        sides = self._left(counts, step, before), self._right(counts, step, after)
        near = (
            slice(max(step.start, before + 1 - _NEAREST), before + 1),
            slice(after, min(step.stop, after + _NEAREST)),
        )
        towards, jump = np.sign(sides[1].level - sides[0].level), np.abs(sides[1].level - sides[0].level)
        for side, frames, sign in zip(sides, near, (towards, -towards), strict=True):
            number = frames.stop - frames.start
            expected, _ = side.at(-(number - 1) / 2)
            spread = np.sqrt((counts.noise[frames] ** 2).mean(axis=0) / number + (_EVEN * expected) ** 2)
            away = sign * (counts.values[frames].mean(axis=0) - expected)
            off, part = away / np.where(spread > 0, spread, np.nan), away / np.where(jump > 0, jump, np.nan)
            known = np.isfinite(off) & np.isfinite(part)
            if known.any() and off[known].sum() > _OFF * np.sqrt(known.sum()) and np.median(part[known]) > _PART:
                return True
        return False

    def _kinked(self, counts: Counts, step: Transition, before: int, after: int, threshold: float) -> bool:
        """Whether a continuous curve with a kink at one of the frames near explains the frames as well as the step."""
        low, high = max(step.start, before + 1 - LOCAL), min(step.stop, after + LOCAL)
        kinks = range(max(step.start + 2, before - _AROUND), min(step.stop - 3, after + _AROUND))
        pairs = [(before, after), *((at, at + 1) for at in kinks)]
        for way in counts.scales(before, after):
            lefts = curves(way, [slice(low, last + 1) for last, _ in pairs], -1)
            rights = curves(way, [slice(first, high) for _, first in pairs], 1)
            evidence, needed = [], []
            for left, right, (last, first) in zip(lefts, rights, pairs, strict=True):
                gap = float(first - last)
                evidence.append(left.evidence.sum() + right.evidence.sum())
                between = step_between(left, right, gap, gap, tolerance=self.tolerance, scaled=way is not counts)
                needed.append(between.beyond_a_kink**2 / 2)
            with_step = evidence[0] - half_way_cost(after - before - 1, way.values.shape[1])
            # one sum tells less than each of the ROIs: there the kink must be as likely as the step
            enough = min(threshold**2 / 2, needed[0] / 2) if way is counts else 0.0
            if any(with_step - one + meets < enough for one, meets in zip(evidence[1:], needed[1:], strict=True)):
                return True
        return False

    def _inserted(
        self, counts: Counts, step: Transition, before: int, after: int, least: float, threshold: float, reason: str
    ) -> RejectedChange | None:
        """Name frames between two sides that are far off both: too few to be a level of their own."""
        inside = slice(before + 1, after)
        if after - before < 2:
            return None
        away, weight = relative_steps(
            np.broadcast_to((counts.values[before] + counts.values[after]) / 2, counts.values[inside].shape),
            counts.values[inside],
            counts.noise[inside] ** 2 + (counts.noise[before] ** 2 + counts.noise[after] ** 2) / 4,
            self.tolerance,
        )
        total = np.maximum(weight.sum(axis=1), 1e-300)
        mean = (weight * away).sum(axis=1) / total
        if not (np.abs(mean) * np.sqrt(total) > threshold * step.unrest)[np.abs(mean) > 1 - np.exp(-least)].any():
            return None
        return self.rejected(
            before,
            after,
            None,
            float((np.abs(mean) * np.sqrt(total)).max()) / step.unrest,
            reason,
            range(before + 1, after),
        )

    def single_frames(
        self, *, least: float, threshold: float, known: Sequence[AttenuationChange | RejectedChange]
    ) -> list[RejectedChange]:
        """Name single frames that are far off the frames on both sides, in all ROIs: too short for a level."""
        frames, positions = len(self.counts.values), self.counts.positions
        if frames <= 2 * _BESIDE:
            return []
        away, significance = self._from_beside(np.arange(frames), np.arange(frames))
        own = max(1.0, 1.4826 * float(np.median(significance)))
        off = np.flatnonzero((significance > threshold * own) & (away > 1 - np.exp(-least)))
        axis = times(self.sample)[positions]
        told = [(one.before, one.after) for one in known if isinstance(one, AttenuationChange) or one.doubtful]
        lone = [frame for frame in map(int, off) if not any(first <= axis[frame] <= last for first, last in told)]
        named = {frame for one in known if isinstance(one, RejectedChange) for frame in one.doubtful}
        named |= {int(positions[frame]) for frame in lone}
        for end, beside in ((0, 1), (frames - 1, frames - 2)):
            if positions[end] in named and positions[beside] not in named and frames > 2 * _BESIDE + 1:
                significance[[beside]] = self._from_beside(np.array([beside]), np.delete(np.arange(frames), end))[1]
                lone += [beside] if significance[beside] > _HALF_WAY * own else []
        return [
            self.rejected(
                max(0, frame - 1), min(frames - 1, frame + 1), None, float(significance[frame]), _TOO_SHORT, [frame]
            )
            for frame in lone
        ]

    def _from_beside(self, frames: Indices, among: Indices) -> tuple[Floats, Floats]:
        """By which part frames are off the ones on both sides of them among some, and how significant that is."""
        values, last = self.counts.values, len(among) - 1
        noise = smooth_noise(values, self.counts.errors)[frames]
        around = np.concatenate([np.arange(-_BESIDE, 0), np.arange(1, _BESIDE + 1)])
        at = np.searchsorted(among, frames)[:, None] + around
        at = np.where(at < 0, at + 2 * _BESIDE + 1, np.where(at > last, at - 2 * _BESIDE - 1, at))
        beside = np.ma.masked_invalid(values[among[at]])  # (frame, beside, roi); what flags leave out is not zero
        usual = np.ma.median(beside, axis=1).filled(np.nan)  # type: ignore[no-untyped-call] # NumPy has no types for it
        spread = beside.std(axis=1).filled(np.nan)  # on a slope or at a step neighbours differ, too
        away, weight = relative_steps(usual, values[frames], 1.5 * noise**2 + spread**2, self.tolerance)
        total = np.maximum(weight.sum(axis=1), 1e-300)
        mean = np.abs((weight * away).sum(axis=1) / total)
        return mean, mean * np.sqrt(total)

    def rejected(
        self,
        before: int,
        after: int,
        estimate: FactorEstimate | None,
        significance: float,
        reason: str,
        frames: Sequence[int],
    ) -> RejectedChange:
        """Say of a step between two frames of the counts why it is no change; ``frames`` are those in doubt."""
        axis, at = times(self.sample), self.counts.positions
        first, last = int(at[before]), int(at[after])
        return RejectedChange(
            nanoseconds(axis[first]),
            nanoseconds(axis[last]),
            before_key=frame_key(self.sample, first),
            after_key=frame_key(self.sample, last),
            factor=None if estimate is None else estimate.factor,
            factor_errors=None if estimate is None else estimate.factor_errors,
            significance=significance,
            reason=reason,
            doubtful=tuple(int(at[frame]) for frame in frames),
        )


def _short_side(step: Transition, before: int, after: int) -> tuple[range, range]:
    """Frames of a side that is short, and these with those on their way to it; none where both are long."""
    left, right = before + 1 - step.start, step.stop - after
    if not 0 < min(left, right) <= SHORT:
        return range(0), range(0)
    if left < right:
        return range(step.start, before + 1), range(step.start, after)
    return range(after, step.stop), range(before + 1, step.stop)
