"""What a file is by its first bytes, whatever its name says."""

from __future__ import annotations

_MAGIC = (
    (b"version https://git-lfs", "a Git LFS pointer, not image data; run git lfs pull"),
    (b"\xff\xd8\xff", "a JPEG image, not a TIFF"),
    (b"\x89PNG", "a PNG image, not a TIFF"),
    (b"\x89HDF", "an HDF5 file, not a TIFF"),
    (b"\x1f\x8b", "a gzip file, not a TIFF"),
    (b"PK\x03\x04", "a zip file, not a TIFF"),
    (b"\x00\x05\x16\x07", "a macOS resource fork, not a TIFF"),
    (b"<", "HTML or XML text, not a TIFF"),
)


def what_it_is(head: bytes) -> str:
    """Say in words what a file that is no TIFF is.

    Examples
    --------
    >>> what_it_is(b"version https://git-lfs.github.com/spec/v1")
    'a Git LFS pointer, not image data; run git lfs pull'
    """
    for magic, words in _MAGIC:
        if head.lstrip().startswith(magic) if magic == b"<" else head.startswith(magic):
            return words
    if not head.strip(b"\0"):
        return "a block of zeros, not a TIFF"
    try:
        head.decode("ascii")
    except UnicodeDecodeError:
        return f"not a TIFF: it begins with {head[:4]!r}"
    return "text, not a TIFF"
