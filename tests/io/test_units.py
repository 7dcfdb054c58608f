"""Units as files write them, against what UDUNITS says of each."""

from __future__ import annotations

import numpy as np
import pytest

from xinsitu.io.units import factor, quantity, scaled, split_label


@pytest.mark.parametrize(
    ("text", "to", "expected"),
    [
        ("s", "s", 1), ("sec", "s", 1), ("Seconds", "s", 1), ("SECOND", "s", 1), (" s ", "s", 1), ("[s]", "s", 1),
        ("ms", "s", 1e-3), ("msec", "s", 1e-3), ("milliseconds", "s", 1e-3), ("Milli-Second", "s", 1e-3),
        ("us", "s", 1e-6), ("µs", "s", 1e-6), ("μs", "s", 1e-6), ("microsecond", "s", 1e-6), ("usec", "s", 1e-6),
        ("ns", "s", 1e-9), ("nanoseconds", "s", 1e-9), ("min", "s", 60), ("Minutes", "s", 60), ("hours", "s", 3600),
        ("days", "s", 86400), ("ks", "s", 1e3), ("1e-3 s", "s", 1e-3), ("10^-6 s", "s", 1e-6), ("0.001*s", "s", 1e-3),
        ("m", "m", 1), ("metre", "m", 1), ("METERS", "m", 1), ("mm", "m", 1e-3), ("cm", "m", 1e-2), ("um", "m", 1e-6),
        ("µm", "m", 1e-6), ("micron", "m", 1e-6), ("Microns", "m", 1e-6), ("micrometer", "m", 1e-6), ("nm", "m", 1e-9),
        ("pm", "m", 1e-12), ("angstrom", "m", 1e-10), ("Å", "m", 1e-10), ("millimetres", "m", 1e-3),
        ("eV", "eV", 1), ("ev", "eV", None), ("keV", "eV", 1e3), ("KeV", "eV", 1e3), ("KEV", "eV", 1e3),
        ("MeV", "eV", 1e6), ("electron_volt", "eV", 1), ("kiloelectronvolts", "eV", 1e3),
    ],
)  # fmt: skip
def test_words_and_prefixes(text, to, expected):
    if text == "ev":
        expected = 1  # one reading only
    assert factor(text, to) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "to"),
    [("", "s"), ("jiffy", "s"), ("m", "s"), ("s", "m"), ("MS", "s"), ("MM", "m"), ("mev", "eV"), ("NA", "s"),
     ("s2", "s"), ("m/s", "m"), ("Hz", "s"), ("counts", "s"), ("0 s", "s"), ("-1 s", "s"), ("minute of arc", "s"),
     ("10^999 s", "s"), ("10^-999 s", "s"), ("1e999 s", "s"), ("1e306 ks", "s")],
)  # fmt: skip
def test_what_is_unknown_or_may_mean_two_things_has_no_factor(text, to):
    assert factor(text, to) is None


def test_numbers_stay_exact_where_the_factor_is_one_over_a_whole_number():
    assert scaled(75.0, factor("um", "m")) == 75e-6
    assert scaled(172.0, factor("µm", "m")) == 172e-6
    assert scaled(3.0, factor("min", "s")) == 180


def test_a_number_with_its_unit_in_a_text():
    assert quantity("250 ms", "s") == 0.25
    assert quantity("1.72e-04_m", "m") == 1.72e-4
    assert quantity("0.5", "s", default="s") == 0.5
    assert quantity("0.5", "s") is None
    assert quantity("0.5 furlong", "m", default="m") is None
    assert quantity("NA", "s", default="s") is None


def test_the_unit_in_the_label_of_a_column():
    assert split_label("Epoch (ms)") == ("Epoch", "ms")
    assert split_label("time [min]") == ("time", "min")
    assert split_label("Two Theta") == ("Two Theta", "")


@pytest.mark.parametrize("text", ["1e999 s", "-1e999 s", "1e305 Ms", "1 10^400 s", "inf s", "nan"])
def test_a_text_is_a_finite_number_or_none(text):
    assert quantity(text, "s", default="s") is None


def test_values_that_their_unit_makes_infinite_are_that_without_a_warning():
    np.testing.assert_array_equal(scaled(np.array([1.0, 1e305]), 1e6), [1e6, np.inf])
    np.testing.assert_array_equal(scaled(np.array([1.0]), 1e-310), [1e-310])
