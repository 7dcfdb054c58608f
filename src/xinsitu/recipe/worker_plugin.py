"""What a dask worker is asked when it joins a cluster in use; travels whole, so that any worker can be asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from distributed import WorkerPlugin


class AskedWhenJoining(WorkerPlugin):  # type: ignore[misc] # distributed has no types here
    """Says, before the first task of a worker, whether it has another xinsitu, or does not see the frames.

    The worker itself is left alone: it may be somebody else's.
    """

    name = "xinsitu-asked"

    def __init__(self, looked_for: Mapping[str, int], own: str, topic: str) -> None:
        self.looked_for, self.own, self.topic = dict(looked_for), own, topic

    def setup(self, worker: Any) -> None:  # noqa: ANN401 - distributed has no types here
        """Ask; the worker does nothing else meanwhile, so that this is heard before any result of it."""
        try:
            from xinsitu.recipe.worker_questions import answer, objection
        except ImportError as fault:
            text = f"worker {worker.address} has another xinsitu, or none ({fault}); install {self.own} there"
        else:
            text = objection(worker.address, answer(self.looked_for), self.own)
        if text:
            worker.log_event(self.topic, text)
