"""The connected side as tests set it up: impatient, with an empty configuration, and every host rewritten."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from archive.progress import SILENT, Progress
from archive.references import Reference
from bundler.credentials import AuthFile, Credentials
from bundler.http import Http
from bundler.registry import RegistryClient
from bundler.retries import Timing
from bundler.upstreams import Upstream, Upstreams

IMPATIENT = Timing(connect=2, idle=0.4, attempts=4, pause=0.01, longest_pause=0.05, patience=3)
APP = Reference.parse("registry.example.org/team/app:1")


def login(folder: Path, auths: Mapping[str, Any], **others: Any) -> Credentials:
    """Credentials from one auth file with these entries."""
    path = folder / "auth.json"
    path.write_text(json.dumps({"auths": auths, **others}))
    file = AuthFile.read(path)
    assert file is not None
    return Credentials([file])


def password(user: str, secret: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{secret}".encode()).decode()}


@asynccontextmanager
async def client(
    url: str,
    *,
    ca: Path | None = None,
    credentials: Credentials | None = None,
    host: str = "registry.example.org",
    progress: Progress = SILENT,
    timing: Timing = IMPATIENT,
) -> AsyncIterator[RegistryClient]:
    """A registry client for which `host` is answered by `url`."""
    upstreams = Upstreams({host: Upstream(url, ca)})
    async with Http(upstreams, timing=timing, progress=progress) as http:
        yield RegistryClient(http, credentials or Credentials())
