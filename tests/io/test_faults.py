"""A corpus of faults: every kind, at the first, a middle and the last frame, under every policy.

Nothing may give wrong pixels silently: either an error that names the file, or the frame is flagged or left out, and
all other frames are exactly what was written.
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tests.helpers.camserver import aged, camserver_bytes, ramp, stamp_of, write_frames
from xinsitu.errors import FrameError, TimeError, XinsituError, XinsituWarning
from xinsitu.io.measurement import open_measurement
from xinsitu.io.survey import survey
from xinsitu.schema import FrameStatus

COUNT = 5
GOOD = camserver_bytes(ramp(0))


def entry(tag: int) -> int:
    """Offset of the value of a tag in the directory of a camserver file."""
    for index in range(18):
        place = 132 + 12 * index
        if struct.unpack_from("<H", GOOD, place)[0] == tag:
            return place + 8
    raise KeyError(tag)


def patch(offset, value):
    return lambda data: data[:offset] + value + data[offset + len(value) :]


def long(tag, value):
    return patch(entry(tag), struct.pack("<I", value))


def written(pixels, **options):
    """A change that replaces the file by what tifffile writes."""

    def change(data):
        import io

        buffer = io.BytesIO()
        tifffile.imwrite(buffer, pixels, metadata=None, **options)
        return buffer.getvalue()

    return change


def deflated_bomb(data):
    """A compressed strip of 4 kB that declares 400 MB."""
    strip = zlib.compress(bytes(1 << 20))
    tags = [(256, 4, 1, 10000), (257, 4, 1, 10000), (258, 3, 1, 32), (259, 3, 1, 8), (273, 4, 1, 200), (277, 3, 1, 1)]
    tags += [(278, 4, 1, 10000), (279, 4, 1, len(strip)), (339, 3, 1, 2)]
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    return (b"II*\0" + struct.pack("<I", 8) + directory).ljust(200, b"\0") + strip


def looped(data):
    """Two pages, of which the second points back to the first."""
    import io

    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.stack([ramp(0), ramp(1)]), photometric="minisblack", metadata=None)
    changed = bytearray(buffer.getvalue())
    first = struct.unpack_from("<I", changed, 4)[0]
    second = struct.unpack_from("<I", changed, first + 2 + 12 * struct.unpack_from("<H", changed, first)[0])[0]
    count = struct.unpack_from("<H", changed, second)[0]
    struct.pack_into("<I", changed, second + 2 + 12 * count, first)
    return bytes(changed)


KINDS = {
    # cut
    "empty": lambda data: b"",
    "one byte": lambda data: data[:1],
    "four bytes": lambda data: data[:4],
    "eight bytes": lambda data: data[:8],
    "inside the stamp": lambda data: data[:40],
    "inside the directory": lambda data: data[:200],
    "inside the text": lambda data: data[:600],
    "header only": lambda data: data[:4096],
    "one pixel": lambda data: data[:4100],
    "half": lambda data: data[: 4096 + 442],
    "one row short": lambda data: data[: -17 * 4],
    "one pixel short": lambda data: data[:-4],
    "one byte short": lambda data: data[:-1],
    # not a TIFF
    "git lfs pointer": lambda data: b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 383956\n",
    "html": lambda data: b"<!DOCTYPE html>\n<html><body>404</body></html>",
    "xml": lambda data: b'<?xml version="1.0"?><a/>',
    "log text": lambda data: b"#S 1 timescan\n1 2 3\n" * 100,
    "utf-16 text": lambda data: "Protokoll".encode("utf-16") * 50,
    "json": lambda data: b'{"a": 1}' * 50,
    "jpeg": lambda data: b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(500),
    "png": lambda data: b"\x89PNG\r\n\x1a\n" + bytes(500),
    "gif": lambda data: b"GIF89a" + bytes(500),
    "pdf": lambda data: b"%PDF-1.4" + bytes(500),
    "gzip": lambda data: b"\x1f\x8b\x08" + bytes(500),
    "zip": lambda data: b"PK\x03\x04" + bytes(500),
    "hdf5": lambda data: b"\x89HDF\r\n\x1a\n" + bytes(500),
    "pickle": lambda data: b"\x80\x04\x95" + bytes(500),
    "macos fork": lambda data: b"\x00\x05\x16\x07" + bytes(500),
    "zeros": lambda data: bytes(len(data)),
    "ones": lambda data: b"\xff" * len(data),
    "noise": lambda data: hashlib.shake_256(b"noise").digest(len(data)),
    "text in front": lambda data: b"\n" + data,
    # headers that lie
    "other byte order": patch(0, b"MM"),
    "no byte order": patch(0, b"XX"),
    "version 99": patch(2, b"\x63\0"),
    "bigtiff that is none": patch(2, b"\x2b\0"),
    "directory at 0": patch(4, bytes(4)),
    "directory at 3": patch(4, b"\3\0\0\0"),
    "directory at the end": patch(4, struct.pack("<I", len(GOOD) - 3)),
    "directory behind the end": patch(4, b"\xff\xff\xff\xff"),
    "directory in the pixels": patch(4, struct.pack("<I", 4100)),
    "no tags": patch(130, b"\0\0"),
    "65535 tags": patch(130, b"\xff\xff"),
    "no width": long(256, 0),
    "width of another frame": long(256, 18),
    "width 60000": long(256, 60000),
    "width 2^32-1": long(256, 2**32 - 1),
    "no height": long(257, 0),
    "height 2^31": long(257, 2**31),
    "narrower": long(256, 16),
    "bits 0": long(258, 0),
    "bits 7": long(258, 7),
    "bits 16": long(258, 16),
    "float": long(339, 3),
    "complex": long(339, 6),
    "lzw that is none": long(259, 5),
    "jpeg that is none": long(259, 7),
    "unknown compression": long(259, 54321),
    "pixels at 0": long(273, 0),
    "pixels in the header": long(273, 4),
    "pixels behind the end": long(273, 2**31),
    "pixels one byte late": long(273, 4097),
    "strip of 0": long(279, 0),
    "short strip": long(279, 100),
    "endless strip": long(279, 2**32 - 1),
    "rows per strip 1": long(278, 1),
    # sound files that are not of this series
    "transposed": lambda data: camserver_bytes(ramp(0).T, stamp_of(2)),
    "one row more": lambda data: camserver_bytes(ramp(0, (14, 17)), stamp_of(2)),
    "uint16": written(ramp(0).astype("u2")),
    "uint32": written(ramp(0).astype("u4")),
    "float32": written(ramp(0).astype("f4")),
    "int64": written(ramp(0).astype("i8")),
    "rgb": written(np.zeros((13, 17, 3), "u1"), photometric="rgb"),
    "three pages": written(np.stack([ramp(0)] * 3), photometric="minisblack"),
    "bool": written(np.zeros((13, 17), bool)),
    # attacks
    "deflate bomb": deflated_bomb,
    "looped pages": looped,
}  # fmt: skip

HARMLESS = {"endless strip"}  # more bytes declared than needed, all pixels there


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "0884" / "time1"
    write_frames(path, COUNT)
    return path


@pytest.mark.parametrize(
    "where",
    [
        pytest.param(0, id="first", marks=pytest.mark.thorough),
        pytest.param(COUNT // 2, id="middle"),
        pytest.param(COUNT - 1, id="last", marks=pytest.mark.thorough),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_no_fault_gives_a_wrong_answer(folder, kind, where):
    path = folder / f"0884_time_1_{where:05d}.tif"
    path.write_bytes(KINDS[kind](path.read_bytes()))
    aged(path)
    truth = np.stack([ramp(number) for number in range(COUNT)])
    rest = [number for number in range(COUNT) if number != where]
    if kind in HARMLESS:
        np.testing.assert_array_equal(open_measurement(folder, tz="UTC").image, truth)
        return
    with pytest.raises(FrameError) as caught:
        open_measurement(folder, tz="UTC").image.compute()
    assert path.name in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.warns(XinsituWarning, match=rf"{path.name}: .*left out, 1 of {COUNT} files in all"):
        skipped = open_measurement(folder, tz="UTC", on_error="skip")
    assert skipped.frame.values.tolist() == rest
    assert skipped.image.dtype == np.int32
    np.testing.assert_array_equal(skipped.image, truth[rest])
    kept = open_measurement(folder, tz="UTC", on_error="nan")
    assert kept.frame_status.values[where] != FrameStatus.OK
    assert (kept.frame_status.values[rest] == FrameStatus.OK).all()
    assert np.isnan(kept.image[where]).all()
    np.testing.assert_array_equal(kept.image[rest], truth[rest])
    report = survey(folder, tz="UTC")
    assert report.n_frames == COUNT - 1
    assert [Path(fault.path).name for fault in report.faults] == [path.name]
    assert f"{COUNT} seen = {COUNT - 1} good frames + 1 bad + 0 others" in str(report)


def test_the_corpus_is_as_large_as_promised():
    assert len(KINDS) >= 60


def test_a_file_that_may_not_be_read(folder):
    path = folder / "0884_time_1_00002.tif"
    path.unlink()
    path.mkdir()
    assert open_measurement(folder, tz="UTC").frame.values.tolist() == [0, 1, 3, 4]
    path.rmdir()
    path.symlink_to("gone.tif")
    with pytest.raises(FrameError, match=r"00002\.tif: the file is not there any more"):
        open_measurement(folder, tz="UTC")
    assert open_measurement(folder, tz="UTC", on_error="nan").frame_status.values[2] == FrameStatus.MISSING


def test_all_frames_bad(folder):
    for path in folder.iterdir():
        path.write_bytes(b"")
        aged(path)
    for policy in ("raise", "skip", "nan"):
        with pytest.raises(FrameError, match=r"0884_time_1_00000\.tif: the file is empty"):
            open_measurement(folder, tz="UTC", on_error=policy)
    assert "none of 5 can be read" in str(survey(folder, tz="UTC"))


def test_most_frames_decide_what_is_right(folder):
    """A bad first frame never sets shape or dtype."""
    path = folder / "0884_time_1_00000.tif"
    tifffile.imwrite(path, np.zeros((99, 98), "u1"), metadata=None)
    with pytest.warns(XinsituWarning, match="left out"):
        data = open_measurement(folder, tz="UTC", on_error="skip")
    assert (data.image.shape, data.image.dtype) == ((4, 13, 17), np.int32)


def test_a_half_written_copy_is_suspect(folder):
    path = folder / "0884_time_1_00001.tif"
    pixels = ramp(1, (195, 487))
    for number in range(COUNT):
        data = camserver_bytes(ramp(number, (195, 487)) + 1, stamp_of(number))
        (folder / f"0884_time_1_{number:05d}.tif").write_bytes(data)
    data = camserver_bytes(pixels + 1, stamp_of(1))
    with open(path, "wb") as file:
        file.write(data[: len(data) // 3])
        file.truncate(len(data))
    if path.stat().st_blocks * 512 >= len(data):
        pytest.skip("this disc fills holes")
    with pytest.warns(match=r"00001\.tif: its end was never written"):
        found = open_measurement(folder, tz="UTC")
    assert found.frame_status.values.tolist() == [0, FrameStatus.SUSPECT_ZERO_TAIL, 0, 0, 0]


def test_unrelated_series_are_named_with_their_counts(folder):
    write_frames(folder, 3, name="align_{}.tif")
    with pytest.raises(XinsituError, match=r"2 series .*\(5 frames\).*align\*\.tif \(3 frames\)"):
        open_measurement(folder, tz="UTC")
    assert open_measurement(folder, tz="UTC", series="align").sizes["time"] == 3
    assert "series    align*.tif (3 frames)" in str(survey(folder, tz="UTC"))


def test_stale_frames_of_a_longer_series(folder):
    for number in range(2):
        path = folder / f"0884_time_1_{number:05d}.tif"
        path.write_bytes(camserver_bytes(ramp(number), stamp_of(500 + number)))
    with pytest.raises(TimeError, match=r"0884_time_1_00001\.tif .* to 0884_time_1_00002\.tif"):
        open_measurement(folder, tz="UTC")
    assert "backwards 3 frames" in str(survey(folder, tz="UTC"))


def fingerprint(folder: Path) -> dict[str, tuple[str, int, int]]:
    return {
        str(path): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns, path.stat().st_mode)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_source_is_untouched_and_may_be_read_only(folder):
    before = fingerprint(folder)
    listing = sorted(os.listdir(folder))
    for path in [*folder.iterdir(), folder]:
        path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    modes = {path: path.stat().st_mode for path in folder.iterdir()}
    try:
        open_measurement(folder, tz="UTC").image.compute()
        str(survey(folder))
    finally:
        folder.chmod(0o755)
        for path in folder.iterdir():
            path.chmod(0o644)
    assert all(not mode & stat.S_IWUSR for mode in modes.values())
    assert sorted(os.listdir(folder)) == listing
    assert {name: value[:2] for name, value in fingerprint(folder).items()} == {
        name: value[:2] for name, value in before.items()
    }


def test_every_file_is_opened_for_reading_only(folder, monkeypatch, files_one_by_one):
    import builtins

    opened: list[tuple[str, object]] = []
    real_open, real_os_open = builtins.open, os.open
    monkeypatch.setattr(builtins, "open", lambda f, m="r", *a, **k: opened.append((f, m)) or real_open(f, m, *a, **k))
    monkeypatch.setattr(
        os, "open", lambda p, flags, *a, **k: opened.append((p, flags)) or real_os_open(p, flags, *a, **k)
    )
    open_measurement(folder, tz="UTC", chunks=None).image.values.sum()
    ours = [mode for path, mode in opened if str(path).startswith(str(folder))]
    assert len(ours) >= 2 * COUNT
    assert all(mode == "rb" or not int(mode) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC) for mode in ours)


def test_passing_errors_of_a_network_disc_are_tried_again(folder, monkeypatch, files_one_by_one):
    import errno
    import time

    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    data = open_measurement(folder, tz="UTC", chunks=None)
    real, failures = os.open, {"left": 2, "code": errno.ESTALE}

    def failing(file, *args, **options):
        if str(file).endswith("00002.tif") and failures["left"]:
            failures["left"] -= 1
            raise OSError(failures["code"], "stale file handle")
        return real(file, *args, **options)

    monkeypatch.setattr(os, "open", failing)
    np.testing.assert_array_equal(data.image.values, np.stack([ramp(number) for number in range(COUNT)]))
    assert failures["left"] == 0
    failures.update(left=99, code=errno.EIO)
    with pytest.raises(FrameError, match=r"00002\.tif: cannot be read"):
        open_measurement(folder, tz="UTC", chunks=None).image.load()
    failures.update(left=1, code=errno.EACCES)
    with pytest.raises(FrameError, match=r"00002\.tif: cannot be read"):
        open_measurement(folder, tz="UTC", chunks=None).image.load()


def test_unsigned_twins_of_flags_are_not_in_a_flat_field(tmp_path):
    from xinsitu.io.measurement import open_flatfield

    for dtype, code in [("u4", 2**32 - 2), ("u4", 2**32 - 1), ("u2", 65535)]:
        pixels = np.full((13, 17), 100, dtype)
        pixels[3, 4] = code
        tifffile.imwrite(tmp_path / "f_0.tif", pixels, metadata=None)
        flat = open_flatfield(tmp_path)
        assert np.isnan(flat[3, 4])
        assert (flat.where(flat.notnull(), 1) == 1).all()


def test_the_fate_of_every_file_is_listed(folder):
    (folder / "0884_time_1_00001.tif").write_bytes(b"")
    for name in ("a.log", "notes.pdf", "mean.tif"):
        (folder / name).touch()
    fates = survey(folder, tz="UTC").fates
    assert set(fates) == set(os.listdir(folder))
    assert fates["0884_time_1_00001.tif"] == "truncated"
    assert fates["a.log"] == "log"
    assert fates["mean.tif"] == "no frame"
    assert survey(folder.parent, tz="UTC").fates["time1/0884_time_1_00000.tif"] == "ok"
