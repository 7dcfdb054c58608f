"""Measure on a cluster of processes: the same bits, and what goes over the network, counted by a relay in between.

Scheduler and workers are processes of their own; clients and workers know only the relay, which counts every byte.
A thousandth of a million frames, in chunks of two, is what one measurement of 40 TB would be cut into.

    python benchmarks/cluster.py --frames 4000
"""

from __future__ import annotations

import argparse
import asyncio
import json
import pickle
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import xarray as xr

import xinsitu as xi
from xinsitu.recipe.cluster import computing
from xinsitu.simulate import simulate_frames

LIMIT, LARGE = 0.01, 16e6
"""Part of the bytes of the frames that may travel; bytes of a frame of 4M pixels, of which as much travels."""


class Relay:
    """A TCP relay on a thread of its own that counts what passes."""

    def __init__(self, host: str, port: int) -> None:
        self.target, self.passed, self.address = (host, port), 0, ""
        ready = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self._serve(ready)), daemon=True).start()
        ready.wait(30)

    async def _serve(self, ready: threading.Event) -> None:
        server = await asyncio.start_server(self._join, "127.0.0.1", 0)
        self.address = f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        ready.set()
        await server.serve_forever()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(*self.target)
        await asyncio.gather(self._pump(reader, back), self._pump(there, writer), return_exceptions=True)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(1 << 16):
            self.passed += len(data)
            sink.write(data)
            await sink.drain()
        sink.close()


@contextmanager
def running(*words: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a part of dask for a while."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([sys.executable, "-m", *words], **quiet) as process:
        try:
            yield process
        finally:
            process.kill()


def scheduler(stack: ExitStack, folder: Path) -> tuple[str, int]:
    """Start a scheduler and return where it listens."""
    file = folder / "scheduler.json"
    place = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)]
    stack.enter_context(running("distributed.cli.dask_scheduler", *place))
    while not file.exists():
        time.sleep(0.05)
    host, port = json.loads(file.read_text())["address"].removeprefix("tcp://").split(":")
    return host, int(port)


def main(arguments: list[str] | None = None) -> int:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--frames", type=int, default=1000)
    words.add_argument("--workers", type=int, default=2)
    words.add_argument("--chunk", type=int, default=2, help="frames in a chunk")
    given = words.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        truth = simulate_frames(folder / "in", given.frames, distinct=20)
        scan = xi.open_measurement(
            truth.folders["time1"], instrument="spring8-bl11xu", order_error="ignore", chunks={"time": given.chunk}
        )
        correction = xi.Correction(median=3, threshold=5, flatfield=truth.flatfield)
        begun = time.perf_counter()
        lazy = xi.measure(scan, truth.rois, correction=correction)
        made = time.perf_counter() - begun
        tasks, size = len(lazy.__dask_graph__()), len(pickle.dumps(scan.image.data.dask))
        alone = lazy.compute(scheduler="threads")
        relay = Relay(*scheduler(stack, folder))
        for _ in range(given.workers):
            place = ["--no-nanny", "--no-dashboard", "--nthreads", "1", "--host", "127.0.0.1"]
            stack.enter_context(running("distributed.cli.dask_worker", relay.address, *place))
        with computing([truth.folders["time1"]], address=relay.address) as where:
            assert where.client is not None
            where.client.wait_for_workers(given.workers)
            before, begun = relay.passed, time.perf_counter()
            found = lazy.compute()
            took, passed = time.perf_counter() - begun, relay.passed - before
            between = sum(where.client.run(lambda dask_worker: dask_worker.transfer_outgoing_bytes_total).values())
        xr.testing.assert_identical(found, alone)
        frame = (passed + between) / given.frames
        small, large = frame / (scan.image.nbytes / given.frames), frame / LARGE
        print(f"{given.frames} frames in chunks of {given.chunk}, {given.workers} workers: {took:.1f} s, the same bits")
        print(f"graph: {tasks} tasks in {made:.2f} s; frames as they travel {size / given.frames:.0f} bytes each")
        print(f"{passed / 1e6:.2f} MB through the scheduler, {between / 1e6:.2f} MB between workers")
        print(f"{frame / 1e3:.1f} kB a frame: {100 * small:.2f} % of these pixels, {100 * large:.2f} % of 4M pixels")
    return 0 if small <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
