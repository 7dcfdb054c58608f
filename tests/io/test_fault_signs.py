"""By what signs a frame is no good, at the bounds: tails of zeros, numbers that come twice, strangers, ends to come."""

from __future__ import annotations

import os
import time

import numpy as np
import pytest
import tifffile

from tests.helpers.camserver import camserver_bytes, ramp, stamp_of
from xinsitu.io.discover import group
from xinsitu.io.faults import (
    LEAST_COUNTS,
    PAGE,
    WRITING,
    check_pixels,
    find_suspects,
    find_zero_tails,
    is_suspect,
    pending,
    read_headers,
    zero_tail,
)
from xinsitu.io.formats.header import FrameFault, FrameHeader
from xinsitu.schema import FrameStatus

N = 20_480
"""Pixels of four bytes on 20 pages; a twentieth of them fill one page."""


def filled(until, value=7):
    frame = np.zeros(N, "int32")
    frame[:until] = value
    return frame


@pytest.mark.parametrize("offset", [0, 8, PAGE])
def test_a_tail_of_zeros_begins_at_the_next_page_of_the_file(offset):
    for last in (1, 500, 1023, 1024, 1025, 15_000):
        found = zero_tail(filled(last), offset)
        assert (offset + 4 * found) % PAGE == 0
        assert last <= found < last + PAGE // 4


@pytest.mark.parametrize(("until", "tail"), [(N - 1024, N - 1024), (N - 1023, None), (N, None), (0, None)])
def test_a_tail_is_a_twentieth_of_the_frame_or_more_and_not_all_of_it(until, tail):
    assert zero_tail(filled(until), 0) == tail


def test_a_frame_of_a_few_pixels_has_no_tail():
    assert zero_tail(np.array([1] + [0] * 18, "int32"), 0) is None


@pytest.mark.parametrize("level", [LEAST_COUNTS - 1, LEAST_COUNTS])
def test_neighbours_tell_by_thirty_counts_where_there_are_none(level):
    cut, whole = filled(N // 2), filled(N // 2)
    whole[-1] = level
    assert is_suspect(cut, [whole, whole], 0) is (level >= LEAST_COUNTS)
    assert not is_suspect(cut, [whole, cut], 0)  # each must tell
    assert not is_suspect(cut, [], 0)


def test_neighbours_of_brighter_frames_tell_less():
    """Half as bright before the tail, half the counts behind it; brighter itself, no more than they have."""
    for value, counts, suspect in ((7, 59, False), (7, 60, True), (28, 29, False), (28, 30, True)):
        whole = filled(N // 2, 14)
        whole[-1] = counts
        assert is_suspect(filled(N // 2, value), [whole], 0) is suspect


@pytest.mark.parametrize(("dtype", "suspect"), [("int32", True), ("float32", True)])
def test_a_flagged_pixel_of_a_neighbour_is_flagged_in_every_frame(dtype, suspect):
    whole = filled(N // 2).astype(dtype)
    whole[-1] = -1
    assert is_suspect(filled(N // 2).astype(dtype), [whole], 0) is suspect
    before = filled(N // 2).astype(dtype)
    before[0] = -1
    assert not is_suspect(filled(N // 2).astype(dtype), [before], 0)


@pytest.mark.parametrize(
    ("position", "sound", "read"),
    [(3, [0, 1, 5, 6], [1, 5]), (0, [2, 4, 5], [2, 4]), (9, [2, 4, 5], [4, 5]), (1, [0], [0])],
)
def test_the_nearest_sound_frames_on_both_sides_are_asked_or_two_on_one(position, sound, read):
    asked = []

    def pixels(index):
        asked.append(index)
        return filled(N // 2) if index == position else filled(N)

    assert find_zero_tails(pixels, [0] * 10, [position], sound) == [position]
    assert asked == [*read, position]


def written(folder, kinds):
    """Frames by number; each of some pixels, or bytes."""
    for name, content in kinds.items():
        if isinstance(content, bytes):
            (folder / name).write_bytes(content)
        else:
            tifffile.imwrite(folder / name, content, metadata=None)
    (series,), _ = group(os.listdir(folder))
    return series.files, read_headers(str(folder), series.files)


def said(found):
    return ["" if isinstance(one, FrameHeader) else one.reason for one in found]


def statuses(found):
    return [FrameStatus.OK if isinstance(one, FrameHeader) else one.status for one in found]


def test_frames_unlike_most_are_strangers_by_their_shape_or_by_their_type(tmp_path):
    plain = {f"a_{n}.tif": ramp(n) for n in range(5)}
    odd = {"a_5.tif": ramp(5).astype("u2"), "a_6.tif": ramp(6, (13, 18)), "a_7.tif": np.stack([ramp(7), ramp(8)])}
    _, found = written(tmp_path, plain | odd)
    wrong = [FrameStatus.WRONG_DTYPE, FrameStatus.WRONG_SHAPE, FrameStatus.WRONG_SHAPE]
    assert statuses(found) == [FrameStatus.OK] * 5 + wrong
    assert said(found)[5:] == [
        "13 x 17 uint16 found, 13 x 17 int32 expected as in most frames",
        "13 x 18 int32 found, 13 x 17 int32 expected as in most frames",
        "13 x 17 int32 in 2 pages found, 13 x 17 int32 expected as in most frames",
    ]


def test_of_one_number_the_first_name_owns_it(tmp_path):
    files, found = written(tmp_path, {name: ramp(1) for name in ("a_1.tif", "a_01.tif", "a_2.tif")})
    names = [file.name for file in files]
    twice = [name for name, one in zip(names, found, strict=True) if isinstance(one, FrameFault)]
    assert len(twice) == 1
    owner = next(name for name in names if name in ("a_1.tif", "a_01.tif"))
    assert twice != [owner]
    fault = found[names.index(twice[0])]
    assert (fault.status, fault.reason) == (FrameStatus.DUPLICATE_NUMBER, f"has the same number as {owner}")


GOOD = camserver_bytes(ramp(0), stamp_of(0))


def aged(path, seconds):
    os.utime(path, (time.time() - seconds,) * 2)


@pytest.mark.parametrize(("age", "comes"), [(0, True), (WRITING - 3, True), (WRITING + 3, False)])
def test_the_last_frame_that_is_cut_is_being_written_for_ten_seconds(tmp_path, age, comes):
    for number in range(4):
        (tmp_path / f"a_{number}.tif").write_bytes(GOOD if number != 3 else GOOD[:-40])
        aged(tmp_path / f"a_{number}.tif", age)
    _, found = written(tmp_path, {})
    assert statuses(found) == [FrameStatus.OK] * 3 + [FrameStatus.PENDING if comes else FrameStatus.TRUNCATED]
    assert said(found)[3].startswith("still being written (") is comes


def test_a_cut_frame_before_one_that_was_written_later_will_not_be_whole(tmp_path):
    """Frames with higher numbers that are old are left by a longer series, and no sign."""
    for number in range(4):
        (tmp_path / f"a_{number}.tif").write_bytes(GOOD if number != 2 else GOOD[:-40])
    _, found = written(tmp_path, {})
    assert statuses(found)[2] == FrameStatus.TRUNCATED
    aged(tmp_path / "a_3.tif", 100)
    _, found = written(tmp_path, {})
    assert statuses(found)[2] == FrameStatus.PENDING


def test_a_fault_of_its_own_does_not_wait(tmp_path):
    path = tmp_path / "a_0.tif"
    path.write_bytes(b"?")
    cut = FrameFault(str(path), "cut", FrameStatus.TRUNCATED)
    assert pending(cut).status == FrameStatus.PENDING
    other = FrameFault(str(path), "odd", FrameStatus.UNREADABLE)
    assert pending(other) is other
    aged(path, WRITING + 3)
    assert pending(cut) is cut
    path.unlink()
    assert pending(cut) is cut


def test_suspects_are_few_among_plain_frames(tmp_path):
    level = np.full((40, 512), 9, "int32")
    half = level.copy()
    half[20:] = 0
    for name, cut in (("few", [2]), ("half", [1, 2]), ("most", [0, 1, 2])):
        (tmp_path / name).mkdir()
        files, found = written(
            tmp_path / name,
            {f"a_{n}.tif": camserver_bytes(half if n in cut else level, stamp_of(n)) for n in range(4)},
        )
        suspects = find_suspects(str(tmp_path / name), files, found, cut)
        assert suspects == (cut if name != "most" else []), name
        assert find_suspects(str(tmp_path / name), files, found, []) == []


def test_pages_that_are_read_tell_which_frames_end_in_zeros(tmp_path):
    """Of files with one page; those of several are said to be cut by their last one."""
    half = np.full((40, 512), 9, "int32")
    half[20:] = 0
    stacks = {"one": half, "two": np.stack([half, half])}
    for name, pixels in stacks.items():
        (tmp_path / name).mkdir()
        for number in range(3):
            content = pixels if number == 1 else pixels + 1
            tifffile.imwrite(tmp_path / name / f"a_{number}.tif", content, metadata=None, photometric="minisblack")
        files, found = written(tmp_path / name, {})
        checked, dark = check_pixels(str(tmp_path / name), files, found)
        assert statuses(checked) == [FrameStatus.OK] * 3
        assert dark == ([1] if name == "one" else [])


@pytest.mark.parametrize("number", [1, 3])
def test_a_file_that_was_reserved_waits_for_its_pixels(tmp_path, number):
    """Alone, it is enough that its end is not there yet."""
    shape = 512, 512
    size = len(camserver_bytes(ramp(0, shape)))
    for at in range(number):
        content = camserver_bytes(ramp(at + 1, shape), stamp_of(at))
        with open(tmp_path / f"a_{at}.tif", "wb") as file:
            file.write(content if at < number - 1 else content[: size // 2 if number == 1 else 4096])
            file.truncate(size)
    _, found = written(tmp_path, {})
    if isinstance(found[-1], FrameHeader) and not found[-1].hollow:
        pytest.skip("holes are not told of on this file system")
    assert statuses(found) == [FrameStatus.OK] * (number - 1) + [FrameStatus.PENDING]
    part = "its end is not" if number == 1 else "no pixel of it is"
    assert found[-1].reason == f"still being written ({part} on the disc yet); open it again in a moment"
