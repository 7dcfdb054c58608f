"""A dask.distributed cluster that tells the truth: its workers are asked before the first task, and when they join.

They must have the same xinsitu, and see the frames under their path. A worker that does not is named in one sentence,
and nothing is computed beside it: one with another version would give other numbers, one without the disc NaN.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MethodType
from typing import TYPE_CHECKING, Any, TextIO

import xarray as xr

from xinsitu.digits import counted
from xinsitu.errors import XinsituError, brief

from .worker_questions import TOPIC, answer, objection, probes, versions

if TYPE_CHECKING:
    from distributed import Client, LocalCluster

log = logging.getLogger(__name__)

ENVIRONMENT = "DASK_SCHEDULER_ADDRESS"
PATIENCE = 10.0
"""Seconds after which it is said that there are no workers; they may still come."""
CONNECTING = "10s"
Say = Callable[[str], None]


class ClusterLost(XinsituError):
    """A cluster that computes nothing any more: whoever does one thing after the other has to stop."""


# -- a cluster in use -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cluster:
    """Where is computed: on a cluster whose workers were asked, or, without a client, in this program."""

    client: Client | None = None

    def recorded(self, results: xr.Dataset) -> xr.Dataset:
        """Return results with what computed them: the attribute ``workers`` has the versions of all workers."""
        if self.client is None:
            return results
        told = self.client.run(versions, on_error="ignore")
        different = [json.loads(text) for text in sorted({json.dumps(one, sort_keys=True) for one in told.values()})]
        return results.assign_attrs(workers=json.dumps({"number": len(told), "versions": different}))


def client_in_use() -> Client | None:
    """Return the client that this program computes with, if it has one."""
    client = client_of_all()
    return client if client is not None and client.status == "running" else None


def client_of_all() -> Client | None:
    """Return the client that all is computed with, whether it runs or not."""
    if "distributed" not in sys.modules:  # a second to import
        return None
    from distributed.client import _get_global_client

    found: Client | None = _get_global_client()
    return found


@contextlib.contextmanager
def computing(
    sources: Sequence[Path], *, address: str | None = None, workers: int | None = None, say: Say = lambda text: None
) -> Iterator[Cluster]:
    """Compute inside the block on a cluster, once its workers were asked.

    Parameters
    ----------
    sources
        What is read: every worker must see it under its path.
    address
        Of a scheduler; else the one in the environment (``DASK_SCHEDULER_ADDRESS``), else a client in use.
    workers
        Number of processes of this machine to start instead, which listen to 127.0.0.1 alone.
    say
        What is to be told meanwhile.

    Raises
    ------
    XinsituError
        No scheduler answers, a worker cannot be used, or workers or scheduler are lost; the sentence names them.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(_quiet())
        client = _client(stack, address, workers, say)
        if client is None:
            yield Cluster()
            return
        with _losses_in_words(client.scheduler.address), _asked(client, probes(sources), say):
            yield Cluster(client)


@contextlib.contextmanager
def _losses_in_words(where: str) -> Iterator[None]:
    """Say in a sentence that workers died or the scheduler went, whatever part of it notices."""
    from distributed import KilledWorker
    from distributed.client import ClosedClientError, FutureCancelledError
    from distributed.comm import CommClosedError

    try:
        yield
    except KilledWorker as fault:
        raise XinsituError(
            f"{where}: {counted(fault.allowed_failures + 1, 'worker')} died over the same frames, the last at "
            f"{fault.last_worker.address}; they may need more memory (fewer threads each)"
        ) from None
    except (FutureCancelledError, ClosedClientError, CommClosedError, asyncio.CancelledError) as fault:
        raise ClusterLost(f"{where}: the scheduler was lost meanwhile ({type(fault).__name__}); start it again, "
                          "and this command once more") from None  # fmt: skip


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Let a client that has lost its scheduler not print what it tries: it is said in a sentence."""
    logger = logging.getLogger("distributed.client")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _client(stack: contextlib.ExitStack, address: str | None, workers: int | None, say: Say) -> Client | None:
    if workers is not None:
        return stack.enter_context(_connected(stack.enter_context(_processes(workers, say))))
    where = ""
    if not address and client_in_use() is None:
        address, where = os.environ.get(ENVIRONMENT), f"{ENVIRONMENT}: "
    if not address:  # a variable that is set to nothing is not set
        return client_in_use()
    try:
        return stack.enter_context(_connected(address))
    except (OSError, ValueError, TimeoutError) as fault:
        said = str(fault).replace(address, brief(address))
        raise XinsituError(f"{where}{brief(address)}: no dask scheduler answers there ({said})") from None


@contextlib.contextmanager
def _connected(where: str | LocalCluster) -> Iterator[Client]:
    from distributed import Client

    before = client_of_all()
    try:
        client = Client(where, timeout=CONNECTING)
    except BaseException:  # of an address that is none it stays the one for all that is computed, and waits for ever
        if (left := client_of_all()) is not None and left is not before:
            left.close(timeout=1)
        raise
    client.__enter__()
    try:
        yield client
    finally:
        try:
            client.__exit__(None, None, None)
        except RuntimeError:  # its pool stumbles over a connection that times out at this very moment: then it is gone
            client.close()


SPAWNED, TRIM = "distributed.nanny.pre-spawn-environ", "MALLOC_TRIM_THRESHOLD_"
"""Where dask keeps the environment of its workers, and what lets a worker give memory back to the system at once: each
array is then made of new pages, which the system fills with zeros first, and a worker takes a third more time."""


def _processes(number: int, say: Say) -> LocalCluster:
    """Start workers that are processes of this machine, which no other machine can reach."""
    import dask
    from distributed import LocalCluster

    local = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "silence_logs": logging.CRITICAL}
    environment = {name: value for name, value in dask.config.get(SPAWNED).items() if name != TRIM}
    with dask.config.set({SPAWNED: environment}):
        cluster = LocalCluster(n_workers=number, threads_per_worker=1, processes=True, **local)
    say(f"{counted(number, 'worker')}; what they do: {cluster.dashboard_link}")
    return cluster


@contextlib.contextmanager
def _asked(client: Client, looked_for: Mapping[str, int], say: Say) -> Iterator[None]:
    """Ask the workers that are there, and those that come."""
    import cloudpickle
    import dask

    from . import worker_plugin

    _wait_for_one(client, say)
    own, where = versions()["xinsitu"], client.scheduler.address
    said = client.run(answer, looked_for, on_error="return")
    log.info("%s: %d workers asked for xinsitu %s and %d files", where, len(said), own, len(looked_for))
    if wrong := [text for worker, one in sorted(said.items()) if (text := objection(worker, one, own))]:
        more = f" (and {len(wrong) - 1} more of {len(said)} workers)" if len(wrong) > 1 else ""
        raise XinsituError(f"{where}: {wrong[0]}{more}")

    refused: list[str] = []

    def tell(event: tuple[float, str]) -> None:
        refused.append(event[1])
        for future in list(client.futures.values()):
            future.cancel(reason="xinsitu", msg=event[1])

    topic = f"{TOPIC}-{client.id}"
    client.subscribe_topic(topic, tell)
    cloudpickle.register_pickle_by_value(worker_plugin)  # a worker without xinsitu can be asked, too
    try:
        client.register_plugin(worker_plugin.AskedWhenJoining(looked_for, own, topic), name=topic)
        with dask.config.set(scheduler=MethodType(_watched(refused, where), client)):
            yield
    finally:
        cloudpickle.unregister_pickle_by_value(worker_plugin)
        with contextlib.suppress(Exception):  # the scheduler may be gone, and what is wrong is said already
            client.unsubscribe_topic(topic)
            client.unregister_worker_plugin(topic)


def _watched(refused: list[str], where: str) -> Callable[..., Any]:
    """Return ``Client.get`` that gives nothing once a worker has joined that cannot be used: its tasks go anywhere.

    A command that goes on with the next measurement stops at :class:`ClusterLost`, which is said once.
    """

    def check() -> None:
        if refused:
            raise ClusterLost(f"{where}: {refused[0]}; it joined meanwhile, so nothing is computed")

    def get(client: Client, graph: Any, keys: Any, **how: Any) -> Any:  # noqa: ANN401 - dask's own
        check()
        try:
            with _losses_in_words(where):
                found = client.get(graph, keys, **how)
        except Exception:
            check()
            raise
        check()
        return found

    return get


def _wait_for_one(client: Client, say: Say) -> None:
    """Wait for a worker; a task is there to be done, for which a cluster that grows by itself starts one."""
    wanted = client.submit(os.getpid, pure=False)
    try:
        client.wait_for_workers(1, timeout=PATIENCE)
    except TimeoutError:
        say(f"{client.scheduler.address}: has no workers after {PATIENCE:.0f} s; waiting for one")
        client.wait_for_workers(1)
    finally:
        wanted.release()


@contextlib.contextmanager
def progress(client: Client, out: TextIO) -> Iterator[None]:
    """Show how much of what a client has asked for is done."""
    from distributed.diagnostics.progressbar import TextProgressBar

    class Bar(TextProgressBar):  # type: ignore[misc] # distributed has no types here
        def _draw_bar(self, remaining: int, all: int, **_: object) -> None:
            part = 1 - remaining / all if all else 1.0
            out.write(f"\r[{'#' * int(40 * part):<40}] | {100 * part:.0f}% Completed")
            out.flush()

        def _draw_stop(self, **_: object) -> None:
            out.write("\n")

    ended = threading.Event()

    def show() -> None:
        while not ended.wait(0.5):
            if keys := list(client.futures):
                with contextlib.suppress(Exception):  # no bar is no reason to stop
                    Bar(keys, scheduler=client.scheduler.address)

    threading.Thread(target=show, name="xinsitu-progress", daemon=True).start()
    try:
        yield
    finally:
        ended.set()
