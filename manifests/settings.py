"""What a site chose, held against what the profile offers."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Any

from console.toml_document import nearest
from manifests.definition import Setting
from manifests.errors import SettingInvalid

_QUANTITY = re.compile(r"[1-9]\d{0,8}(\.\d{1,3})?(m|k|M|G|T|Ki|Mi|Gi|Ti)?")
_WANTED = {
    "text": ("text", 'write it in quotes, like "this"'),
    "number": ("a whole number", "write it without quotes, like 3"),
    "flag": ("true or false", "without quotes"),
    "quantity": ("a quantity", 'write it as Kubernetes does, like "500Mi" or "2Gi"'),
    "addresses": ("a range of addresses", 'write it like "10.77.0.200-10.77.0.220" or "10.77.0.192/28"'),
}


def chosen(offered: tuple[Setting, ...], values: Mapping[str, object], profile: str) -> dict[str, Any]:
    """Every setting with its value: the site's, else the default. A choice is its word still.

    Raises `SettingInvalid`.
    """
    known = {setting.name: setting for setting in offered}
    for name in values:
        if name not in known:
            hint = nearest(name, sorted(known)) if known else "it has none"
            raise SettingInvalid(f"the profile {profile} has no setting {name}", setting=name, hint=hint)
    return {
        name: checked(setting, values[name], profile) if name in values else _default(setting, profile)
        for name, setting in known.items()
    }


def checked(setting: Setting, value: object, profile: str) -> Any:
    """`value`, when the setting can take it. Raises `SettingInvalid`."""
    if setting.type == "choice":
        if not isinstance(value, str) or value not in setting.choices:
            words = sorted(setting.choices)
            hint = nearest(value, words) if isinstance(value, str) else f"known here: {', '.join(words)}"
            raise SettingInvalid(
                f"{profile}: {setting.name} cannot be {_shown(value)}", setting=setting.name, hint=hint
            )
        return value
    if not _FITS[setting.type](value):
        wanted, hint = _WANTED[setting.type]
        raise SettingInvalid(
            f"{profile}: {setting.name} is {wanted}, not {_shown(value)}", setting=setting.name, hint=hint
        )
    return value


def _default(setting: Setting, profile: str) -> Any:
    if setting.default is None:
        raise SettingInvalid(
            f"the profile {profile} needs {setting.name}: {setting.about}",
            setting=setting.name,
            hint=f"add {setting.name} = … below [profiles.{profile}] in site.toml",
        )
    return setting.default


def addresses(text: str) -> tuple[ipaddress.IPv4Address, ipaddress.IPv4Address]:
    """First and last of `10.0.0.1-10.0.0.9`, `10.0.0.0/28` or one address. Raises `ValueError`."""
    if "/" in text:
        network = ipaddress.IPv4Network(text)
        return network[0], network[-1]
    first, _, last = text.partition("-")
    low = ipaddress.IPv4Address(first.strip())
    high = ipaddress.IPv4Address(last.strip()) if last else low
    if high < low:
        raise ValueError("the range ends before it begins")
    return low, high


def _is_range(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(addresses(value))
    except ValueError:
        return False


_FITS = {
    "text": lambda value: isinstance(value, str),
    "number": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "flag": lambda value: isinstance(value, bool),
    "quantity": lambda value: isinstance(value, str) and bool(_QUANTITY.fullmatch(value)),
    "addresses": _is_range,
}


def _shown(value: object) -> str:
    return repr(value)[:80]
