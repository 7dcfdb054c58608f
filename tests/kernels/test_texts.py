"""Numbers are written as Python writes them, letter by letter, by the compiled kernel too."""

from __future__ import annotations

import numpy as np
import pytest

from xinsitu import native
from xinsitu.kernels import texts

COMPILED = native.function("texts")
needs_kernel = pytest.mark.skipif(COMPILED is None, reason="the compiled kernels are not built: python hatch_build.py")


def bytes_of(values: np.ndarray) -> tuple[bytes | None, bytes]:
    return texts._compiled(COMPILED, [values, -values]), texts._by_python([values, -values])


@needs_kernel
def test_powers_of_two_and_ten_and_their_neighbours_are_written_as_python_does():
    powers = np.concatenate(
        [2.0 ** np.arange(-1074, 1024), [float(f"{n}e{k}") for n in (1, 3, 9) for k in range(-323, 308)]]
    )
    ours, python = bytes_of(np.concatenate([powers, np.nextafter(powers, 0), np.nextafter(powers, np.inf)]))
    assert ours == python


@needs_kernel
def test_numbers_of_all_kinds_are_written_as_python_does():
    rng = np.random.default_rng(1)
    kinds = [
        *(rng.integers(0, 2**64, 4000, dtype=np.uint64).view(np.float64), rng.integers(0, 2**60, 4000) / 2.0**40),
        *(np.round(rng.normal(0, 1e3, 4000), 2), rng.integers(0, 4000, 4000, dtype=np.uint64).view(np.float64)),
        [0.0, np.nan, np.inf, 1e16, 9999999999999998.0, 1e-4, 9.999e-5, 1e22, 1e23, 123456789012345680.0, 2.0**53],
    ]
    ours, python = bytes_of(np.concatenate(kinds))
    assert ours == python


@needs_kernel
def test_columns_of_any_kind_stand_beside_each_other():
    columns = [
        ["", "ü\x00", '"a,b"', "\n"],
        np.array([0.1, np.nan, -np.inf, 3]),
        np.array([0, -(2**63), 2**63 - 1, 12]),
    ]
    columns.append(np.arange(8.0)[::-2])  # not in a row
    assert texts._compiled(COMPILED, columns) == texts._by_python(columns)
