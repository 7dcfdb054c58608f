"""Every warning that can be given is explained on its page of the documentation, by words of its own text."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reference" / "warnings.md"
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


def explained() -> list[list[str]]:
    """Words that do not change, of each entry: what stands between its dots."""
    entries = re.findall(r"^\*\*(.*)\*\*$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return [[part.strip() for part in entry.split("…") if len(part.strip()) > 3] for entry in entries]


def test_every_warning_has_an_entry():
    entries = explained()
    assert len(texts()) > 25
    missing = [
        f"{where}: {text}"
        for where, text in texts()
        if text not in PASSED_ON
        and "NO_ZONE" not in text
        and not any(all(part in text for part in entry) for entry in entries)
    ]
    assert not missing, "explain these in docs/reference/warnings.md:\n" + "\n".join(missing)


@pytest.mark.parametrize("entry", explained(), ids=lambda entry: entry[0][:40])
def test_every_entry_is_of_a_text_that_there_is(entry):
    """Words of an entry stand in the source, so that nobody looks for what is no longer said."""
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "src" / "xinsitu").rglob("*.py")]
    joined = [re.sub(r'["\']\s*\n\s*f?["\']', "", source) for source in sources]
    assert any(all(part in source for part in entry) for source in joined), entry
