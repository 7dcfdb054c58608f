"""Print what tells one kernel of NumPy's linear algebra from another: a hash of the bits of what it gives."""

from __future__ import annotations

import hashlib

import numpy as np

rng = np.random.default_rng(0)
told = hashlib.sha256()
for rows in (*range(1, 40), 64, 100, 257, 600):
    for columns in (1, 3, 7, 50, rows):
        for kind in (np.float32, np.float64, np.complex128):
            one = rng.normal(size=(rows, columns)).astype(kind)
            other = rng.normal(size=(columns, rows)).astype(kind)
            line = other[:, 0].copy()
            for result in (one @ other, one.T @ one, one @ line, np.dot(line, line)):
                told.update(np.ascontiguousarray(result).tobytes())
    square = rng.normal(size=(rows, rows))
    for results in (np.linalg.svd(square), np.linalg.eigh(square + square.T), np.linalg.qr(square)):
        for result in results:
            told.update(result.tobytes())
    told.update(np.linalg.solve(square, square[0]).tobytes())
print(told.hexdigest())
