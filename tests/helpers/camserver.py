"""Files as camserver writes them, byte by byte, for tests; written from the layout, not with xinsitu."""

from __future__ import annotations

import os
import struct
import time
from pathlib import Path

import numpy as np

TEXT = (
    "# Pixel_size 172e-6 m x 172e-6 m\r\n# Silicon sensor, thickness 0.000320 m\r\n# Exposure_time {exposure:.7f} s\r\n"
    "# Exposure_period {period:.7f} s\r\n# Tau = 199.1e-09 s\r\n# Count_cutoff 1048574 counts\r\n"
    "# Threshold_setting: 5000 eV\r\n# Gain_setting: mid gain (vrf = -0.200)\r\n# N_excluded_pixels = 1\r\n"
    "# Excluded_pixels: badpix_mask.tif\r\n# Flat_field: (nil)\r\n# Trim_file: p100k.bin\r\n"
)


def camserver_bytes(
    pixels: np.ndarray,
    stamp: str = "2014:05:28 17:01:59",
    *,
    exposure: float = 1.0,
    period: float = 1.0,
    text: str | None = None,
    model: str = "PILATUS 100K, S/N 1-0230, Cornell University",
) -> bytes:
    """One file: 4096 bytes of header with the directory at 130, then int32 pixels in one strip."""
    rows, columns = pixels.shape
    description = (TEXT.format(exposure=exposure, period=period) if text is None else text).encode() + b"\0.3"
    tags = [
        (254, 4, 1, 0), (256, 4, 1, columns), (257, 4, 1, rows), (258, 3, 1, 32), (259, 3, 1, 1), (262, 3, 1, 1),
        (270, 2, len(description), 580), (272, 2, 48, 62), (273, 4, 1, 4096), (278, 4, 1, rows),
        (279, 4, 1, rows * columns * 4), (282, 5, 1, 484), (283, 5, 1, 492), (305, 2, 20, 110), (306, 2, 32, 30),
        (315, 2, 20, 10), (339, 3, 1, 0x20002), (36867, 11, 1, 0x3F800000),
    ]  # fmt: skip
    head = bytearray(4096)
    head[:8] = b"II*\0" + struct.pack("<I", 130)
    head[30 : 30 + len(stamp)] = stamp.encode()
    head[62 : 62 + len(model)] = model.encode()
    head[110:128] = b"TVX TIFF v 1.3    "
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    head[130 : 130 + len(directory)] = directory
    head[580 : 580 + len(description)] = description
    return bytes(head) + pixels.astype("<i4").tobytes()


def stamp_of(second: float) -> str:
    """Clock reading so many whole seconds after 17:00:00 of a day in 2014."""
    whole = int(second)
    return f"2014:05:28 {17 + whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def ramp(number: int, shape: tuple[int, int] = (13, 17)) -> np.ndarray:
    """Pixels that are all different, within a frame and between frames, so that any mix-up shows."""
    return (np.arange(shape[0] * shape[1], dtype="int32") + number * 1000).reshape(shape)


def write_frames(
    folder: Path, count: int = 5, *, shape: tuple[int, int] = (13, 17), name: str = "0884_time_1_{:05d}.tif", **header
) -> np.ndarray:
    """A measurement of so many frames, one per second; returns its pixels."""
    folder.mkdir(parents=True, exist_ok=True)
    frames = [ramp(number, shape) for number in range(count)]
    for number, pixels in enumerate(frames):
        (folder / name.format(number)).write_bytes(camserver_bytes(pixels, stamp_of(number), **header))
    return np.stack(frames)


def aged(path: Path, seconds: float = 3600) -> None:
    """Set the time of a file's last change back, so that nobody takes it for one that is still being written."""
    moment = time.time() - seconds
    os.utime(path, (moment, moment))
