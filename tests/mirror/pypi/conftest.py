"""Fixtures of the tests over made-up indexes."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made-up indexes share ports over time: uv may not remember one test's answers in the next."""
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
