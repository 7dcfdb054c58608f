"""Forty and more kinds of TIFF, bit for bit as tifffile reads them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tifffile

from xinsitu.io.measurement import open_measurement

DTYPES = ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8"]
LAYOUTS = {
    "strip": {},
    "strips": {"rowsperstrip": 5},
    "tiles": {"tile": (16, 32)},
    "bigtiff": {"bigtiff": True},
    "zlib": {"compression": "zlib"},
    "zlib-strips": {"compression": "zlib", "rowsperstrip": 7, "predictor": True},
    "lzw": {"compression": "lzw"},
    "zstd-tiles": {"compression": "zstd", "tile": (16, 16)},
}
VARIANTS = [
    (order, dtype, layout)
    for order, dtype, layout in itertools.product("<>", DTYPES, LAYOUTS)
    if dtype not in ("f2", "i8", "u8") or "predictor" not in LAYOUTS[layout]  # the TIFF predictors stop at 32 bits
]


def frames(dtype):
    rng = np.random.default_rng(3)
    if dtype.startswith("f"):
        return [rng.normal(0, 1e3, (37, 45)).astype(dtype) for _ in range(3)]
    bounds = np.iinfo(dtype)
    return [rng.integers(bounds.min, bounds.max, (37, 45), dtype=dtype, endpoint=True) for _ in range(3)]


@pytest.mark.parametrize(("order", "dtype", "layout"), VARIANTS)
def test_equals_tifffile_bit_for_bit(tmp_path, order, dtype, layout):
    for number, pixels in enumerate(frames(dtype)):
        tifffile.imwrite(tmp_path / f"a_{number}.tif", pixels, byteorder=order, metadata=None, **LAYOUTS[layout])
    data = open_measurement(tmp_path, time="frame")
    truth = np.stack([tifffile.imread(tmp_path / f"a_{number}.tif") for number in range(3)])
    assert data.image.dtype == np.dtype(dtype)
    assert data.image.values.tobytes() == truth.astype(dtype).tobytes()
    part = data.image[1:, 5:9, 3:40:4].values
    assert part.tobytes() == np.ascontiguousarray(truth[1:, 5:9, 3:40:4]).astype(dtype).tobytes()
