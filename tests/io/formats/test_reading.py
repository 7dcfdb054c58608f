"""Comparing a header with one that was walked gives what walking it gives, whatever its bytes are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xinsitu.io.formats.header import FrameFault, FrameHeader
from xinsitu.io.formats.reading import Sibling, read_header, sibling
from xinsitu.simulate.camserver import Detector, tiff_bytes, tiff_header

PIXELS = np.zeros((195, 487), dtype=np.int32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("siblings")


@pytest.fixture(scope="module")
def like(folder) -> Sibling:
    found = sibling(*frame(folder, "first.tif", tiff_header(Detector(), "2014:05:28 17:01:59")))
    assert found is not None
    return found


def frame(folder: Path, name: str, header: bytes) -> tuple[str, FrameHeader]:
    path = folder / name
    path.write_bytes(tiff_bytes(header, PIXELS))
    return str(path), read_header(str(path))


def outcome(path: str, like: Sibling | None) -> FrameHeader | tuple[str, int]:
    try:
        return (like and like.header_of(path)) or read_header(path)
    except FrameFault as fault:
        return fault.reason, fault.status


@given(
    st.lists(st.tuples(st.integers(0, 1200), st.integers(0, 255)), max_size=3),
    st.sampled_from(["2014:05:28 17:02:00", "", "nonsense", "0000:00:00 00:00:00", "2014:05:28 17:01:59.5"]),
    st.sampled_from([0, 0, -1, 1]),
)
def test_the_same_header_comes_out(folder, like, changes, stamp, longer):
    header = bytearray(tiff_header(Detector(), stamp))
    for place, value in changes:
        header[place] = value
    whole = tiff_bytes(bytes(header), PIXELS)
    path = folder / "other.tif"
    path.write_bytes(whole[:-1] if longer < 0 else whole + b"\0" * longer)
    assert outcome(str(path), like) == outcome(str(path), None)


def test_only_the_stamp_differs(folder, like):
    path, header = frame(folder, "second.tif", tiff_header(Detector(), "2014:05:28 17:02:00"))
    known = like.header_of(path)
    assert known == header
    assert known.stamp == "2014:05:28 17:02:00"
    assert known.text is like.header.text, "it was not walked again"


def test_other_layouts_have_no_siblings(folder, shared_data):
    for name in ("14_SAXSLAB_P3-300K_SN3-0220_2016", "15_SAXSLAB_P3-300K_SN3-0327_2019"):
        head = (shared_data / "headers" / f"{name}.head4096.bin").read_bytes()
        path = folder / f"{name}.tif"
        path.write_bytes(head + bytes(4 * 487 * 619 + 64))
        assert sibling(str(path), read_header(str(path))) is None
