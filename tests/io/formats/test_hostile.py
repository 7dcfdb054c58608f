"""Bytes that somebody damaged, by accident or not: each parser gives a sound answer or one kind of error, at once."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.helpers.hostile import TARGETS, attempt, mutants
from xinsitu.errors import FrameError, SchemaError, XinsituError
from xinsitu.io.formats.hdf5_links import refuse_outside_links
from xinsitu.io.formats.reading import read_header
from xinsitu.io.measurement import open_measurement
from xinsitu.io.pixel_maps import read_mask

SECONDS = 2.0
"""For one file, on any machine; most take less than a thousandth of that."""
MUTANTS = {"measurement": 150, "tiff": 1000, "fit2d": 300}


@pytest.mark.thorough("tiff")
@pytest.mark.parametrize("name", TARGETS)
def test_mutants_give_a_sound_answer_or_one_kind_of_error(name, tmp_path, caplog):
    target = TARGETS[name]
    caplog.set_level(logging.CRITICAL)
    path = str(tmp_path / target.name)
    for number, data in enumerate(mutants(target, MUTANTS.get(name, 1500))):
        begin = time.perf_counter()
        try:
            attempt(target, path, data)
        except Exception as error:
            error.add_note(f"mutant {number} of {name}: {data[:400]!r}")
            raise
        assert time.perf_counter() - begin < SECONDS, f"mutant {number} of {name}"


@pytest.mark.filterwarnings("ignore:.*attributes are those of the first frame:xinsitu.XinsituWarning")
@pytest.mark.parametrize("name", TARGETS)
def test_sound_files_are_read(name, tmp_path):
    """The mutants begin from files that the parsers accept; otherwise they would prove nothing."""
    target = TARGETS[name]
    for data in target.seeds():
        path = tmp_path / target.name
        path.write_bytes(data)
        target.read(str(path))


PARTS = ("..", ".", "inner", "secret.h5", "inside.h5", "m", "link", "")
TARGET_NAMES = st.lists(st.sampled_from(PARTS), min_size=1, max_size=5).map("/".join)


@pytest.fixture(scope="module")
def house(tmp_path_factory) -> Path:
    """A folder ``m`` of frames, a secret beside it, and a symbolic link from one to the other."""
    root = tmp_path_factory.mktemp("house")
    folder = root / "m"
    (folder / "inner").mkdir(parents=True)
    for path in (root / "secret.h5", folder / "inside.h5", folder / "inner" / "inside.h5"):
        with h5py.File(path, "w") as file:
            file["entry/data/data"] = np.full((2, 3, 4), 42 if path.parent == root else 7, "i4")
            file["pixel_mask"] = np.ones((3, 4), "u4")
    (folder / "link").symlink_to(root)
    return root


@pytest.mark.thorough
@given(kind=st.sampled_from(["link", "storage", "virtual"]), name=TARGET_NAMES, absolute=st.booleans())
@example(kind="link", name="../secret.h5", absolute=False)
@example(kind="link", name="inside.h5", absolute=True)
@example(kind="virtual", name="inside.h5", absolute=True)
@example(kind="storage", name="inside.h5", absolute=True)
@example(kind="link", name="link/secret.h5", absolute=False)
@example(kind="virtual", name="inner/../link/secret.h5", absolute=False)
@example(kind="storage", name="secret.h5", absolute=True)
@example(kind="link", name="inner/inside.h5", absolute=False)
@example(kind="virtual", name="inside.h5/.", absolute=False)
def test_no_way_leads_out_of_the_folder(house, kind, name, absolute):
    folder = house / "m"
    target = f"{house}/{name}" if absolute else name
    path = folder / "hostile.h5"
    if not name.strip("/."):
        return
    with h5py.File(path, "w") as file:
        if kind == "link":
            file["entry/data/data"] = h5py.ExternalLink(target, "/entry/data/data")
            file["pixel_mask"] = h5py.ExternalLink(target, "/pixel_mask")
        elif kind == "storage":
            file.create_dataset("entry/data/data", (2, 3, 4), "i4", external=[(target, 0, 96)])
            file.create_dataset("pixel_mask", (3, 4), "u4", external=[(target, 0, 48)])
        else:
            layout = h5py.VirtualLayout((2, 3, 4), "i4")
            layout[:] = h5py.VirtualSource(target, "entry/data/data", (2, 3, 4))
            file.create_virtual_dataset("entry/data/data", layout)
    if kind != "storage" and absolute and not os.path.lexists(target):  # HDF5 takes the one beside, as after a copy
        target = os.path.basename(target)
    outside = not Path(os.path.realpath(folder / target)).is_relative_to(os.path.realpath(folder))
    if outside:
        with pytest.raises(FrameError, match=r"hostile\.h5"):
            open_measurement(path, time="frame")
        if kind != "virtual":
            with pytest.raises(FrameError, match=r"hostile\.h5"):
                read_mask(path)
    with pytest.raises(SchemaError):  # a result of ours may refer to nothing at all
        refuse_outside_links(path)
    try:
        pixels = open_measurement(path, time="frame").image.values
    except XinsituError:
        return
    assert not outside
    assert not (pixels == 42).any()


def test_a_chain_of_links_is_followed_as_the_file_system_follows_it(tmp_path):
    """``deep/../next.h5`` is ``inner/next.h5`` where ``deep`` is a symbolic link to ``inner/deep``."""
    folder = tmp_path / "m"
    (folder / "inner" / "deep").mkdir(parents=True)
    (folder / "deep").symlink_to(folder / "inner" / "deep")
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["entry/data/data"] = np.full((2, 3, 4), 42, "i4")
    with h5py.File(folder / "next.h5", "w") as file:
        file["entry/data/data"] = np.full((2, 3, 4), 7, "i4")
    with h5py.File(folder / "inner" / "next.h5", "w") as file:
        file["entry/data/data"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "/entry/data/data")
    with h5py.File(folder / "first.h5", "w") as file:
        file["entry/data/data"] = h5py.ExternalLink("deep/../next.h5", "/entry/data/data")
    with pytest.raises(FrameError, match=r"first\.h5.*refers to another file"):
        open_measurement(folder / "first.h5", time="frame")


def test_odd_tiffs_are_said_in_our_words_alone(tmp_path, caplog):
    """tifffile logs what it finds without naming the file; the terminal would show that too."""
    path = tmp_path / "a_1.tif"
    data = bytearray(TARGETS["tiff"].seeds()[0])
    data[54], data[168] = 5, 99  # LZW, and a tag of an unknown kind
    path.write_bytes(bytes(data))
    with contextlib.suppress(FrameError):
        read_header(str(path))
    assert caplog.records == []
    logging.getLogger("tifffile").warning("still heard")
    assert len(caplog.records) == 1
