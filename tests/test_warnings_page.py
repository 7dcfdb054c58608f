"""Every warning that can be given is explained under a name, found by words of its own text, and says that name."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from xinsitu.cli import main
from xinsitu.errors import XinsituWarning, warn
from xinsitu.explanations import explanations, name_of

ROOT = Path(__file__).resolve().parents[1]
PASSED_ON = {"<text>", "<told>", "{}: {}", "left out: {}", "{}: {} ({} files in all)", "{}; they become NaN"}
"""Calls that hand on a sentence made elsewhere."""


def texts() -> list[tuple[str, str]]:
    """Every text that is warned of, with ``{}`` where something is put in, and where it stands."""
    return [
        (f"{path.relative_to(ROOT)}:{node.lineno}", _text(node.args[0]))
        for path in sorted((ROOT / "src" / "xinsitu").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "warn" and node.args
    ]


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
    if isinstance(node, ast.BinOp):
        return _text(node.left) + _text(node.right).replace("<told>", "")
    if isinstance(node, ast.IfExp):
        return _text(node.body)
    return f"<{ast.unparse(node)}>" if isinstance(node, ast.Name) else "{}"


@pytest.mark.thorough
def test_every_warning_has_an_entry():
    assert len(texts()) > 25
    missing = [
        f"{where}: {text}"
        for where, text in texts()
        if text not in PASSED_ON and "NO_ZONE" not in text and name_of(text) is None
    ]
    assert not missing, "explain these in src/xinsitu/explanations.md:\n" + "\n".join(missing)


@pytest.mark.thorough
def test_a_text_has_one_entry():
    """Two that fit would make a longer one of them hide the right one."""
    for where, text in texts():
        fitting = [name for name, one in explanations().items() if all(part in text for part in one.words)]
        assert len(fitting) <= 1, f"{where}: {text}: {fitting}"


@pytest.mark.parametrize("name", explanations())
def test_every_entry_is_of_a_text_that_there_is(name):
    """Words of an entry stand in the source, so that nobody looks for what is no longer said."""
    words = explanations()[name].words
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "src" / "xinsitu").rglob("*.py")]
    joined = [re.sub(r'["\']\s*\n\s*f?["\']', "", source) for source in sources]
    assert any(all(part in source for part in words) for source in joined), words
    assert name_of("".join(f"x{part}x" for part in words)) == name
    assert len(explanations()[name].text) > 20


def test_the_page_holds_every_entry():
    """An entry that is not written as the others are would be on the page and known to nobody."""
    page = (ROOT / "src/xinsitu/explanations.md").read_text(encoding="utf-8")
    assert re.findall(r"^### (.*)$", page, re.MULTILINE) == list(explanations())
    assert "explanations.md" in (ROOT / "docs/reference/warnings.md").read_text(encoding="utf-8")


def test_a_warning_names_its_entry(capsys):
    with pytest.warns(XinsituWarning, match=r"is not used \(xinsitu explain utc-already\)$"):
        warn("f.nc: its times are UTC already, from a clock in Asia/Tokyo; tz='UTC' is not used")
    with pytest.warns(XinsituWarning, match="^nobody wrote an entry of this$"):
        warn("nobody wrote an entry of this")
    assert main(["explain", "utc-already"]) == 0
    by_name = capsys.readouterr().out
    assert "the zone you gave is not used" in by_name
    assert main(["explain", "f.nc: its times are UTC already, from a clock in Asia/Tokyo"]) == 0
    assert capsys.readouterr().out == by_name
    assert main(["explain"]) == 0
    assert capsys.readouterr().out.split() == list(explanations())
    assert main(["explain", "no such thing"]) == 1
    assert "xinsitu explain lists the names" in capsys.readouterr().err


def test_entries_on_a_terminal_have_no_links():
    assert "](" not in "".join(one.text for one in explanations().values())
