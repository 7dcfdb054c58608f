"""Fixtures for all tests: the shared real data, a scheduler that counts computations, a browser."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import dask
import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from .helpers.browser import CHROMIUM, FLAGS, Tab

os.environ.pop("XINSITU_INSTRUMENT", None)  # what this user has set is not what is tested
os.environ["XDG_CONFIG_HOME"] = tempfile.mkdtemp(prefix="xinsitu-no-configuration-")
atexit.register(shutil.rmtree, os.environ["XDG_CONFIG_HOME"], ignore_errors=True)

# who runs tests in the background has these ignored, and so would what the tests start and end
for number, default in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, default)

SHARED = Path(os.environ.get("XINSITU_SHARED", Path(__file__).resolve().parents[2] / "shared"))

settings.register_profile("default", deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("nightly", deadline=None, max_examples=2000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


STRICT = {"io", "kernels", "physics", "plots", "recipe", "values"}
"""Folders whose quick tests are free of other people's threads, browsers and servers, and of what these leave open."""


@pytest.hookimpl(tryfirst=True)  # before -m chooses by the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what ``.ci/run`` runs with Python in development mode, and what the quick part leaves out.

    In development mode a file that is left open fails its test. ``thorough`` tests are run there like quick ones.
    """
    for item in items:
        inside = item.path.is_relative_to(item.config.rootpath)  # suites of others are run from here, too
        folder = item.path.relative_to(item.config.rootpath).parts[:2] if inside else ("",)
        slow = item.get_closest_marker("slow") or item.get_closest_marker("browser")
        if folder[0] == "tests" and folder[1] in STRICT and not slow:
            item.add_marker("strict")
        if _is_thorough(item):
            item.add_marker("slow")


def _is_thorough(item: pytest.Item) -> bool:
    """Whether a test is marked ``thorough``, and not as one of the parametrisations that stay quick."""
    mark = item.get_closest_marker("thorough")
    case = getattr(item, "callspec", None)
    return mark is not None and not (case is not None and case.id in mark.args)


@pytest.fixture(autouse=True, scope="session")
def no_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what explorers keep aside out of the folders of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(autouse=True)
def numpy_prints_as_before() -> Iterator[None]:
    """Keep examples of docstrings as they are written: nexusformat sets how arrays are printed, for all, for good."""
    with np.printoptions():
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data; skips, visibly, where it is absent."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}")
    return folder


class Computations:
    """A dask scheduler that counts how often it is called."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, dsk: object, keys: object, **kwargs: object) -> object:
        self.count += 1
        return dask.get(dsk, keys, **kwargs)


@contextlib.contextmanager
def computations(at_most: int = 0) -> Iterator[Computations]:
    """Fail if dask computes more often than this inside the block."""
    scheduler = Computations()
    with dask.config.set(scheduler=scheduler):
        yield scheduler
    assert scheduler.count <= at_most, f"{scheduler.count} computations, {at_most} expected at most"


@pytest.fixture
def computes():
    """``with computes(0): ...`` holds that nothing is computed."""
    return computations


@pytest.fixture(scope="session")
def experiment(tmp_path_factory: pytest.TempPathFactory):
    """A small simulated experiment of three measurements, never changed by a test: its truth and its folders."""
    from xinsitu.simulate import simulate_sample

    folder = tmp_path_factory.mktemp("experiment")
    truth = simulate_sample(folder, measurements=3, frames=60, counts=1e7)
    if os.environ.get("XINSITU_READ_ONLY"):  # as root in a mount namespace: unshare -m pytest
        for words in (["--bind", folder, folder], ["-o", "remount,bind,ro", folder]):
            subprocess.run(["mount", *words], check=True)
    return truth


@pytest.fixture(scope="module")
def chromium():
    """A browser without a window."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as api:
        browser = api.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def start(chromium):
    """``start(explorer)`` opens it in a tab; both are closed after the test."""
    with contextlib.ExitStack() as stack:

        def open_tab(explorer, size=(1500, 1150), *, there=True) -> Tab:
            context = chromium.new_context(viewport={"width": size[0], "height": size[1]}, accept_downloads=True)
            stack.callback(context.close)
            stack.callback(explorer.stop)
            return Tab(context.new_page(), explorer.url, there=there)

        yield open_tab


@pytest.fixture
def files_one_by_one(monkeypatch):
    """Every file is opened by Python, none by the compiled kernel."""
    monkeypatch.setattr("xinsitu.io.formats.many_files.compiled", lambda name: None)
    monkeypatch.setattr("xinsitu.physics.stored.Stored.in_files", staticmethod(lambda array, frames, part: None))
