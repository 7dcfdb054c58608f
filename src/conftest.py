"""Examples of docstrings run where a reader would: in a folder that holds the sample that they name."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from _pytest.doctest import DoctestItem

import xinsitu as xi


@pytest.fixture(scope="session")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``0884/time1``, ``flatfield1``, ``dark1`` and ``rois.json``."""
    folder = tmp_path_factory.mktemp("desk")
    xi.simulate_sample(folder, measurements=1, frames=20)
    shutil.copytree(folder / "flatfield1", folder / "dark1")
    return folder


@pytest.fixture(autouse=True)
def at_the_desk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Examples alone: tests have folders of their own."""
    if isinstance(request.node, DoctestItem):
        monkeypatch.chdir(request.getfixturevalue("desk"))
