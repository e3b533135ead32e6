"""What is asked of a profile from a node, over HTTP, with what every node has; and what its answer is worth.

Plain HTTP is spoken by bash itself, so that no node needs a downloader; for HTTPS it has to have curl.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from deploys.order import Check, Node

_SERVICE = re.compile(r"\{([a-z0-9-]+)\.([a-z0-9-]+)\}")
_STATUS = re.compile(r"HTTP/[\d.]+ (\d{3})")
_READ_UP_TO = 64 * 1024  # bytes of an answer
_SECONDS = 10

_PLAIN = """\
command -v bash >/dev/null || {{ echo 'no bash here to ask with'; exit 0; }}
timeout {seconds} bash -c 'exec 3<>"/dev/tcp/$1/$2" && printf "%b" "$3" >&3 && head -c {most} <&3' - \\
  {host} {port} {request} 2>&1 || {{ [ $? != 124 ] || echo 'no answer within {seconds} seconds'; }}
"""
_SECURE = """\
command -v curl >/dev/null || {{ echo 'no curl here to ask with'; exit 0; }}
curl -sS -i -k -m {seconds} --noproxy '*' -H {header} -- {url} 2>&1 | head -c {most}
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `status` is 0 and `text` the reason when nobody answered."""

    status: int
    text: str

    @classmethod
    def parse(cls, output: str) -> Answer:
        found = _STATUS.match(output.lstrip())
        if found is None:
            lines = [line.strip() for line in output.splitlines() if line.strip()]
            return cls(0, lines[-1].rpartition(": ")[2][-200:] if lines else "closes the connection without a word")
        return cls(int(found[1]), output)


def url(check: Check, node: Node, services: Mapping[tuple[str, str], str]) -> str:
    """Where `check` is asked from `node`. Raises `KeyError` with the name of a service that the cluster lacks."""

    def address(found: re.Match[str]) -> str:
        key = (found[1], found[2])
        if key not in services:
            raise KeyError(f"{found[1]} of {found[2]}")
        return services[key]

    return _SERVICE.sub(address, check.url.replace("{node}", node.address))


def script(check: Check, at: str) -> str:
    """For sh; ends with 0 whatever the answer."""
    words = urlsplit(at)
    host = check.host or words.netloc
    if words.scheme == "https":
        header = shlex.quote(f"Host: {host}")
        return _SECURE.format(seconds=_SECONDS, header=header, url=shlex.quote(at), most=_READ_UP_TO)
    path = (words.path or "/") + (f"?{words.query}" if words.query else "")
    request = f"GET {path} HTTP/1.0\\r\\nHost: {host}\\r\\nUser-Agent: buzzcrate-verify\\r\\n\\r\\n"
    return _PLAIN.format(
        seconds=_SECONDS,
        host=shlex.quote(words.hostname or ""),  # the cluster's word for it, which is nothing to run
        port=words.port or 80,
        most=_READ_UP_TO,
        request=shlex.quote(request),
    )


def trouble(check: Check, answer: Answer) -> str:
    """What is wrong with an answer, or nothing."""
    if not answer.status:
        return answer.text
    if answer.status != check.status:
        return f"answers {answer.status}, not {check.status}"
    if check.text and check.text not in answer.text:
        return f"answers without {check.text!r} in it"
    return ""
