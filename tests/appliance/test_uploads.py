"""Uploads over a disk that fills up in the middle."""

from __future__ import annotations

import random
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from appliance.uploads import Uploads
from archive.digests import Digest

DATA = random.Random(1).randbytes(900_000)


@contextmanager
def files_end_at(size: int) -> Iterator[None]:
    """Stands for a disk with room for `size` bytes of a file: writes beyond go half, as they do there."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("rest", [DATA[300_000:], DATA[300_000:310_000], b""], ids=["all of it", "less", "nothing"])
@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_what_a_failed_write_left_does_not_get_into_the_blob(tmp_path: Path, rest: bytes, algorithm: str) -> None:
    upload = Uploads(tmp_path).begin("team/app")
    upload.append(DATA[:300_000])
    with files_end_at(500_000), pytest.raises(OSError, match="too large"):
        upload.append(DATA[300_000:])
    assert upload.size == 300_000
    if rest:
        upload.append(rest)
    whole = DATA[:300_000] + rest
    assert upload.digests(Digest.of(whole, algorithm)) == (Digest.of(whole), Digest.of(whole, algorithm))
    assert upload.path.read_bytes() == whole
