"""Latest wins: however fast requests come, only the newest one is worked on next, and nothing piles up."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Generic, TypeVar

Request = TypeVar("Request")
Result = TypeVar("Result")
Schedule = Callable[[Callable[[], None]], object]


class Rest:
    """Do something once nobody has asked for it for a while.

    Parameters
    ----------
    action
        What to do, on the event loop.
    schedule
        Puts a function on the event loop, that while later.

    Examples
    --------
    >>> later, done = [], []
    >>> rest = Rest(lambda: done.append(1), later.append)
    >>> rest.ask(); rest.ask()
    >>> for act in later:
    ...     act()
    >>> done
    [1]
    """

    def __init__(self, action: Callable[[], object], schedule: Schedule) -> None:
        self._action, self._schedule = action, schedule
        self._asked = 0

    def ask(self) -> None:
        """Ask for it; only the last of several in a row counts."""
        self._asked += 1
        mine = self._asked
        self._schedule(lambda: self._act(mine))

    def _act(self, mine: int) -> None:
        if mine == self._asked:
            self._action()


class Latest(Generic[Request, Result]):
    """Run the newest request in a pool, and hand its result back to the event loop.

    At most one request is being worked on; while it is, :meth:`ask` only remembers that something changed. When it is
    done, or has failed, the request is collected afresh. An error always frees the way.

    Parameters
    ----------
    collect
        Gathers the request, on the event loop; None: there is nothing to do.
    work
        Does it, on a thread of the pool; it must not touch the document.
    apply
        Takes request and result, on the event loop.
    fault
        Takes the error that ``collect``, ``work`` or ``apply`` raised, on the event loop.
    schedule
        Puts a function on the event loop, from any thread (``Document.add_next_tick_callback``).
    pool
        Where the work is done.
    """

    def __init__(
        self,
        *,
        collect: Callable[[], Request | None],
        work: Callable[[Request], Result],
        apply: Callable[[Request, Result], None],
        fault: Callable[[Exception], None],
        schedule: Schedule,
        pool: Executor,
    ) -> None:
        self._collect, self._work, self._apply, self._fault = collect, work, apply, fault
        self._schedule, self._pool = schedule, pool
        self._wanted = self._waiting = self._busy = self._closed = False

    @property
    def idle(self) -> bool:
        """Whether nothing is asked for or being done."""
        return not (self._wanted or self._waiting or self._busy)

    def ask(self) -> None:
        """Say that something changed; call it on the event loop, as often as you like."""
        self._wanted = True
        if not self._busy and not self._waiting and not self._closed:
            self._waiting = True
            self._schedule(self._start)

    def close(self) -> None:
        """Start nothing more, and drop what is still being done."""
        self._closed = True

    def _start(self) -> None:
        self._waiting = self._wanted = False
        if self._closed:
            return
        self._busy = True  # collecting may itself say that something changed
        try:
            request = self._collect()
        except Exception as error:  # noqa: BLE001 - whatever went wrong is shown, and the app goes on
            request = None
            self._fault(error)
        if request is None:
            self._busy = self._wanted = False
            return
        self._wanted = False
        future = self._pool.submit(self._work, request)
        future.add_done_callback(lambda done: self._back(request, done))

    def _back(self, request: Request, future: Future[Result]) -> None:
        """Return to the event loop, from the pool's thread."""
        if not self._closed and not future.cancelled():
            self._schedule(lambda: self._finish(request, future))

    def _finish(self, request: Request, future: Future[Result]) -> None:
        self._busy = False
        if self._closed:
            return
        try:
            self._apply(request, future.result())
        except Exception as error:  # noqa: BLE001 - whatever went wrong is shown, and the app goes on
            self._fault(error)
        if self._wanted:
            self.ask()
