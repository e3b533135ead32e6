"""k3s releases in order, and which step from one to the next Kubernetes allows.

A release is `v<Kubernetes>+k3s<number>`, candidates `v1.33.1-rc1+k3s1`. Semantic versioning leaves what follows the
plus sign out of the order; k3s counts its own releases of one Kubernetes there, so it takes part here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from semver import Version

from archive.errors import InvalidValue
from deploys.errors import UnfitRelease
from deploys.order import Role

Key = tuple[Version, int]

_STEPS: dict[Role, int] = {"server": 1, "agent": 3}  # minor versions at once
_FORM = re.compile(r"v?(?P<kubernetes>[0-9][0-9A-Za-z.-]*)(?:\+(?:[a-z.-]*?)k3s(?P<number>[0-9]{1,6}))?")


@lru_cache(maxsize=256)
def key(release: str) -> Key:
    """What to sort releases by. Raises `InvalidValue` for what is no release of k3s."""
    form = _FORM.fullmatch(release)
    if form is None or len(release) > 100 or not Version.is_valid(form["kubernetes"]):
        raise InvalidValue(f"{release[:100]!r} is not a release of k3s", hint="they are spelled like v1.33.5+k3s1")
    return Version.parse(form["kubernetes"]), int(form["number"] or 0)


def newest(releases: Iterable[str]) -> str:
    """The highest of them. Raises `InvalidValue`, and `ValueError` when there are none."""
    return max(releases, key=key)


def check_step(node: str, role: Role, has: str, wanted: str) -> None:
    """Returns when `node` may go from the release it `has` to the one `wanted`; both may be the same.

    Raises `UnfitRelease` for a step back and for one too far: Kubernetes converts what servers stored from one minor
    version to the next and supports no other way; a kubelet stores nothing and may catch up with three (version skew
    policy).
    """
    before, after = key(has), key(wanted)
    if after < before:
        raise UnfitRelease(
            f"{node} runs k3s {has}; going back to {wanted} is not supported",
            hint=f'keep it with k3s = "{has}" under [cluster] in site.toml, or reset the nodes and install anew',
        )
    if after[0].major != before[0].major or after[0].minor > before[0].minor + _STEPS[role]:
        between = f"v{before[0].major}.{before[0].minor + 1}"
        raise UnfitRelease(
            f"{node} runs k3s {has}; {wanted} is too many minor versions ahead",
            hint=f"install a crate with a {between} release first, or reset {node} and let it join anew",
        )
