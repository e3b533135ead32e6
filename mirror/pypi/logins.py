"""What this machine's pip and uv log in with: the user and password in the URLs of their indexes."""

from __future__ import annotations

import os
import re

from mirror.logins import Login, of_url
from mirror.pypi.uv import OWN_INDEX, pip_settings

_NAMED = re.compile(r"[A-Za-z0-9_.-]+=")


async def logins() -> list[Login]:
    """The environment's first; `.netrc` is for everybody to read, see `mirror.logins.of_netrc`."""
    settings = await pip_settings()
    texts = [os.environ.get(name, "") for name in OWN_INDEX]
    texts += [settings.get(key, "") for key in ("index-url", "extra-index-url", "find-links")]
    return [login for text in texts for url in text.split() for login in of_url(_NAMED.sub("", url, count=1))]
