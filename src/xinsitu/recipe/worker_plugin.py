"""What a dask worker is asked when it joins a cluster in use; loaded by workers, and by who computes on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from distributed import WorkerPlugin

from .worker_questions import TOPIC, answer, objection


class AskedWhenJoining(WorkerPlugin):  # type: ignore[misc] # distributed has no types here
    """Closes a worker before its first task where it has another xinsitu, or does not see the frames.

    A worker whose xinsitu does not know this module fails to start: it cannot load it.
    """

    name = "xinsitu-asked"

    def __init__(self, looked_for: Mapping[str, int], own: str) -> None:
        self.looked_for, self.own = dict(looked_for), own

    async def setup(self, worker: Any) -> None:  # noqa: ANN401 - distributed has no types here
        """Ask; no task is begun before this returns."""
        text = objection(worker.address, answer(self.looked_for), self.own)
        if text:
            worker.log_event(TOPIC, text)
            worker.loop.add_callback(worker.close, nanny=True, executor_wait=False, reason=text)
            await worker.finished()
