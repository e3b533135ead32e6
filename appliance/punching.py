"""Giving back the space of a file's middle: fallocate(2) with FALLOC_FL_PUNCH_HOLE, which `os` does not offer."""

from __future__ import annotations

import ctypes
import errno
import os

_KEEP_SIZE = 0x01
_PUNCH_HOLE = 0x02

_fallocate = ctypes.CDLL(None, use_errno=True).fallocate64
_fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


def punch(descriptor: int, start: int, end: int, block: int) -> int:
    """Makes a hole of the whole file system blocks (of `block` bytes) within [start, end); returns its length.

    Punching what is a hole already changes nothing. A file system that cannot do it keeps the bytes: returns 0.
    Raises `OSError`.
    """
    first = -(-start // block) * block
    length = end // block * block - first
    if length <= 0:
        return 0
    if _fallocate(descriptor, _PUNCH_HOLE | _KEEP_SIZE, first, length) == 0:
        return length
    code = ctypes.get_errno()
    if code in {errno.EOPNOTSUPP, errno.ENOSYS}:
        return 0
    raise OSError(code, os.strerror(code))
