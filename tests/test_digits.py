"""Numbers with their errors are written in one place, with the digits that the error allows, and never as exact."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import xinsitu
from xinsitu.digits import with_error

SOURCE = Path(xinsitu.__file__).parent
FORMATTED = re.compile(r"[\"{}\w]:[+]?\.\d[efg]} ?±|± ?{[^}]*:[+]?\.\d[efg]}")


def test_nobody_else_decides_on_digits_of_errors():
    found = {
        str(path.relative_to(SOURCE))
        for path in SOURCE.rglob("*.py")
        if FORMATTED.search(re.sub(r'"\s+f?"', "", path.read_text(encoding="utf-8")))
    }
    assert found == set()


@given(st.floats(-1e9, 1e9), st.floats(1e-9, 1e6))
def test_no_digit_is_lost_and_none_is_idle(value, error):
    assume(error > 1e-11 * abs(value))
    text = with_error(value, error)
    bare, _, power = text.partition(")e")
    number, spread = (float(part) * 10.0 ** int(power or 0) for part in bare.strip("(").split(" ± "))
    assert abs(spread - error) <= 0.26 * error
    assert abs(number - value) <= 0.51 * error
    digits = bare.split(" ± ")[1].replace(".", "").strip("0")
    assert len(digits) <= 2


@pytest.mark.parametrize("error", [0.0, None, float("nan"), float("inf"), 1e-18])
def test_what_has_no_error_has_no_sign_of_one(error):
    assert with_error(338.0, error) == "338"
