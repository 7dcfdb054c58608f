"""What the quick part of the tests, ``-m "not slow"``, leaves out."""

from __future__ import annotations

import pytest


@pytest.mark.thorough("stays", "stays, too")
@pytest.mark.parametrize("case", ["stays", "goes", "stays, too"])
def test_parametrisations_that_a_mark_names_stay(request, case):
    assert (request.node.get_closest_marker("slow") is None) == case.startswith("stays")


@pytest.mark.thorough
def test_without_a_name_the_whole_test_goes(request):
    assert request.node.get_closest_marker("slow") is not None


def test_without_the_mark_it_stays(request):
    assert request.node.get_closest_marker("slow") is None


@pytest.mark.parametrize(
    ("marks", "given"),
    [((), {"strict"}), (("thorough",), {"strict", "slow"}), (("slow",), set()), (("browser",), set())],
)
def test_what_is_thorough_runs_in_development_mode_as_what_is_quick_does(request, marks, given):
    item = Item.from_parent(request.session, name="one", path=request.config.rootpath / "tests" / "io" / "test_one.py")
    for mark in marks:
        item.add_marker(mark)
    request.config.hook.pytest_collection_modifyitems(session=request.session, config=request.config, items=[item])
    assert {mark.name for mark in item.iter_markers()} - set(marks) == given - set(marks)


class Item(pytest.Item):
    def runtest(self):
        """Do nothing."""
