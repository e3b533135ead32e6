"""Who may do what: the one place that is asked before anything is read or written. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Role(Enum):
    """What a token is good for."""

    READER = "reader"
    PUBLISHER = "publisher"


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever sent a request; without a token there is no role."""

    role: Role | None = None
    token: str = ""


ANYBODY = Caller()


@dataclass(frozen=True, slots=True)
class Access:
    """`open_pulls`: everybody on the crate's network may read."""

    open_pulls: bool = True

    def may_read(self, caller: Caller, repository: str) -> bool:
        """`repository` is a registry's, or `files` for what lies below /files/."""
        return self.open_pulls or caller.role is not None

    def may_list(self, caller: Caller) -> bool:
        """Whether to tell the caller which repositories there are, those that he may read."""
        return self.open_pulls or caller.role is not None

    def may_write(self, caller: Caller, repository: str) -> bool:
        return caller.role is Role.PUBLISHER
