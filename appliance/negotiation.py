"""Which variant of a path a client means (RFC 9110, section 12.5.1). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from appliance.published import Served


def choose(variants: Sequence[Served], accept: str) -> Served:
    """The variant that the Accept header rates highest; where it does not say, the default one, which comes first.

    A client that accepts none of them gets the default one, too: that is more use to it than a refusal.
    """
    if len(variants) == 1 or not accept:
        return variants[0]
    wishes = _wishes(accept)
    return max(variants, key=lambda variant: max(_rated(wishes, kind) for kind in variant.accepts or _own(variant)))


def _own(variant: Served) -> tuple[str, ...]:
    return (variant.media_type.partition(";")[0].strip(),)


@lru_cache(maxsize=256)
def _wishes(accept: str) -> dict[str, float]:
    """Media ranges to qualities."""
    wishes = {}
    for wish in accept.lower().split(","):
        name, *parameters = (word.strip() for word in wish.split(";"))
        quality = next((word[2:] for word in parameters if word.startswith("q=")), "1")
        try:
            wishes[name] = float(quality)
        except ValueError:
            wishes[name] = 0.0
    return wishes


def _rated(wishes: dict[str, float], media_type: str) -> float:
    """The quality of the most specific range that covers it."""
    for name in (media_type, f"{media_type.partition('/')[0]}/*", "*/*"):
        if name in wishes:
            return wishes[name]
    return 0.0
