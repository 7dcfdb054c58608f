"""Masks of every kind of file."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import tifffile

from xinsitu.errors import FrameError
from xinsitu.io.pixel_maps import read_mask

BAD = np.random.default_rng(1).random((13, 45)) < 0.1


def test_npy_and_tiff(tmp_path):
    np.save(tmp_path / "m.npy", BAD)
    tifffile.imwrite(tmp_path / "m.tif", BAD.astype("u1") * 255)
    tifffile.imwrite(tmp_path / "z.tif", BAD.astype("i4") * -2, compression="zlib")
    for name in ("m.npy", "m.tif", "z.tif"):
        mask = read_mask(tmp_path / name)
        np.testing.assert_array_equal(mask, BAD)
        assert (mask.dims, mask.dtype, mask.name) == (("y", "x"), np.bool_, "mask")
        assert mask.attrs["source"] == name
        assert mask.x.values[-1] == 44


def test_fit2d_and_edf_as_fabio_writes_them(tmp_path):
    fabio = pytest.importorskip("fabio")
    for kind, name in [(fabio.fit2dmaskimage.Fit2dMaskImage, "m.msk"), (fabio.edfimage.EdfImage, "m.edf")]:
        kind(data=BAD.astype("u1")).write(str(tmp_path / name))
        np.testing.assert_array_equal(read_mask(tmp_path / name), BAD)
        np.testing.assert_array_equal(read_mask(tmp_path / name), fabio.open(str(tmp_path / name)).data != 0)


def test_bits_of_a_nexus_mask(tmp_path):
    bits = np.zeros((4, 5), "u4")
    bits[0, 0], bits[1, 1], bits[2, 2] = 1, 2, 16
    with h5py.File(tmp_path / "mask.nxs", "w") as file:
        file["entry/instrument/detector/pixel_mask"] = bits
    assert np.argwhere(read_mask(tmp_path / "mask.nxs").values).tolist() == [[0, 0], [1, 1], [2, 2]]
    assert np.argwhere(read_mask(tmp_path / "mask.nxs", bits=0b11).values).tolist() == [[0, 0], [1, 1]]


def test_what_is_no_mask_is_named(tmp_path):
    (tmp_path / "a.msk").write_bytes(b"nothing" * 300)
    (tmp_path / "b.tif").write_bytes(b"hello")
    np.save(tmp_path / "c.npy", np.zeros(3))
    np.save(tmp_path / "d.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with h5py.File(tmp_path / "e.h5", "w") as file:
        file["x"] = 1
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["mask"] = h5py.ExternalLink("/etc/other.h5", "/x")
    (tmp_path / "g.msk").write_bytes(b"M\0\0\0A\0\0\0S\0\0\0K\0\0\0" + b"\xff" * 1100)
    for name in ("a.msk", "b.tif", "c.npy", "d.npy", "e.h5", "f.h5", "g.msk", "gone.tif", "gone.npy"):
        with pytest.raises(FrameError, match=name):
            read_mask(tmp_path / name)


def test_a_mask_joins_the_correction(tmp_path):
    from tests.helpers.camserver import write_frames
    from xinsitu import Correction, correct
    from xinsitu.io.measurement import open_measurement

    write_frames(tmp_path / "m", 3)
    bad = np.zeros((13, 17), bool)
    bad[4, 5] = True
    np.save(tmp_path / "bad.npy", bad)
    data = open_measurement(tmp_path / "m", tz="UTC")
    clean = correct(data, Correction(mask=read_mask(tmp_path / "bad.npy")))
    assert np.isnan(clean.image[:, 4, 5]).all()
    assert int(np.isnan(clean.image).sum()) == 3
