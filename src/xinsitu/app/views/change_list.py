"""The list of changes of attenuation: accepted, proposed, rejected; it is walked with the arrows."""

from __future__ import annotations

import json

from xinsitu.app.state.model import ExplorerModel
from xinsitu.digits import with_error
from xinsitu.values import AttenuationChange

from .channel import Channel
from .drawing import Drawing, watch

STATES = {"accepted": "✓", "proposed": "?", "rejected": "✗"}


class ChangeList(Drawing):
    """Tells the page what stands in the list, and what each frame is multiplied by."""

    def __init__(self, model: ExplorerModel, channel: Channel) -> None:
        self._model, self._channel = model, channel
        part = model.attenuation
        watch(part, self.update, "changes", "proposals", "rejected", "scaled")
        watch(model.numbers, self.update, "count")
        watch(part, lambda: channel.update(looked=part.looked_at), "looked_at")
        watch(part, lambda: channel.update(question=part.question), "question")
        self.update()

    def update(self) -> None:
        """Bring the list in line with the model."""
        part = self._model.attenuation
        lengths = (len(part.changes), len(part.proposals), len(part.rejected))
        states = [state for state, many in zip(STATES, lengths, strict=True) for _ in range(many)]
        listed = [
            {"text": f"{STATES[state]} {said(change)}", "state": state, "reason": change.note}
            for change, state in zip(part.listed, states, strict=True)
        ]
        factors = part.factors()
        known = [] if factors is None else [factor if factor > 0 else 1.0 for factor in factors.tolist()]
        self._channel.update(changes=json.dumps(listed), looked=part.looked_at, factors=known)


def said(change: AttenuationChange) -> str:
    """Return a change in a few words: where it is, its factor and its cause."""
    key = change.before_key
    if key is None or key.frame is None:
        where = str(change.before)[11:19]
    elif key.scan in (None, 1):
        where = f"{key.measurement or ''} {key.frame}".strip()
    else:  # as it is written elsewhere: numbers of frames begin again in each scan
        where = f"{key.measurement or ''}:{key.scan}:{key.frame}"
    factor = "" if change.factor is None else f" × {with_error(change.factor, change.factor_errors)}"
    return f"{where}{factor} {change.cause}"
