"""The log of names tells who asked for what is not here, and nothing else."""

from __future__ import annotations

import pytest

from appliance.names.queries import unanswered

STAMP = "Nov 23 12:35:03 dnsmasq[11254]: "
# a line as dnsmasq 2.90 writes it, and what it tells
LINES = {
    "a name that nobody has": ("7 10.77.0.11/50190 config Example.org is NXDOMAIN\n", ("example.org", "10.77.0.11")),
    "an address that nobody has": (
        "6 10.77.0.12/45784 config 12.0.0.127.in-addr.arpa is NXDOMAIN",
        ("12.0.0.127.in-addr.arpa", "10.77.0.12"),
    ),
    "a client over IPv6": ("8 fe80::1/9 config db.local is NXDOMAIN", ("db.local", "fe80::1")),
    "an answer from the cache": ("9 10.77.0.11/1 cached a.example.org is NXDOMAIN", ("a.example.org", "10.77.0.11")),
    "a question": ("7 10.77.0.11/50190 query[A] Example.org from 10.77.0.11", None),
    "an answer": ("1 10.77.0.11/43629 config crate.internal is 10.77.0.1", None),
    "a name without that kind of record": ("4 10.77.0.11/37486 config n1.crate.internal is NODATA-IPv6", None),
    "something about itself": ("started, version 2.90 cachesize 150", None),
    "a question that plays an answer": ("7 10.77.0.11/5 query[A] is NXDOMAIN from 10.77.0.11", None),
    "half a line": ("7 10.77.0.11/50190 config Example.org is NXDOM", None),
}


@pytest.mark.parametrize(("line", "told"), LINES.values(), ids=LINES)
def test_a_line_tells(line: str, told: tuple[str, str] | None) -> None:
    assert unanswered(STAMP + line) == told
