"""Whom this crate trusts: `trust/` in the store, files that a person may read and edit.

    allowed_signers     keys, in OpenSSH's format; a line's principal is the NAME of `trust add --as NAME`
    fingerprints        `SHA256:… NAME`, until a crate presents the key with a valid signature
    policy.toml         by crate name: principals and threshold

Trust never comes with a crate. The floors of serials are in the database, because they move with activations.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from appliance import disk
from appliance.errors import BadTrust
from appliance.store import Store
from archive.errors import MalformedKey, Problem, UnsupportedKey
from archive.keys import TYPES, PublicKey
from archive.reader import Envelope
from archive.release import NAME
from archive.signers import AllowedSigners, line_for
from archive.trust import Floor, Policy, Verdict, judge, presented

_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")


@dataclass(frozen=True, slots=True)
class Trusted:
    """A key that may sign; `known` is False while only its fingerprint is here."""

    principal: str
    fingerprint: str
    type: str
    known: bool


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict, and the lines for allowed_signers that fingerprints turned into."""

    verdict: Verdict
    learned: tuple[str, ...]


class Keyring:
    """The trust files of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._folder = store.root / "trust"
        self._signers = self._folder / "allowed_signers"
        self._fingerprints = self._folder / "fingerprints"
        self._policy = self._folder / "policy.toml"

    def add(self, key: str, principal: str) -> Trusted:
        """Trusts the key of a `.pub` file's text, or a fingerprint, as `principal`.

        Raises `MalformedKey`, `UnsupportedKey`, `MalformedSigners`.
        """
        if _FINGERPRINT.fullmatch(key.strip()):
            return self._add_fingerprint(key.strip(), principal)
        if key.startswith("SHA256:"):
            raise MalformedKey(
                "this is not a whole fingerprint",
                hint="it has 43 characters behind SHA256:; see ssh-keygen -l",
            )
        public = PublicKey.from_line(key.strip())
        if public.type not in TYPES:
            raise UnsupportedKey(
                f"the key is of type {public.type}, which crates are not signed with",
                hint="make one with crate-bundle keygen, or ssh-keygen -t ed25519",
            )
        self._append(self._signers, line_for(principal, public))
        return Trusted(principal, public.fingerprint, public.type, known=True)

    def _add_fingerprint(self, fingerprint: str, principal: str) -> Trusted:
        line_for(principal, PublicKey.ed25519(bytes(32)))  # for its refusal of names that are more than names
        self._append(self._fingerprints, f"{fingerprint} {principal}")
        return Trusted(principal, fingerprint, "", known=False)

    def remove(self, who: str) -> int:
        """Trusts a principal, or one key by its fingerprint, no longer; returns how many lines went."""
        text = _read(self._signers)
        numbers = {
            line.number for line in AllowedSigners.parse(text).lines if who in (line.principals, line.key.fingerprint)
        }
        kept = [line for number, line in enumerate(text.split("\n"), start=1) if number not in numbers]
        waiting = self._waiting()
        left = [(fingerprint, name) for fingerprint, name in waiting if who not in (fingerprint, name)]
        if not numbers and len(left) == len(waiting):
            raise BadTrust(f"{who} is not trusted anyway", hint="crate-appliance trust list shows who is")
        if numbers:
            _replace(self._signers, "\n".join(kept))
        if len(left) < len(waiting):
            _replace(self._fingerprints, "".join(f"{fingerprint} {name}\n" for fingerprint, name in left))
        return len(numbers) + len(waiting) - len(left)

    def trusted(self) -> list[Trusted]:
        lines = AllowedSigners.parse(_read(self._signers)).lines
        return [
            *(Trusted(line.principals, line.key.fingerprint, line.key.type, known=True) for line in lines),
            *(Trusted(name, fingerprint, "", known=False) for fingerprint, name in self._waiting()),
        ]

    def judge(self, envelope: Envelope, when: datetime, file: str) -> Judgement:
        """Whether a crate is trusted; changes nothing. `file` is its name, for what is said of it.

        Raises what `archive.trust.judge` raises, `BadTrust`.
        """
        text = _read(self._signers)
        waiting = dict(self._waiting())
        learned = tuple(
            line_for(waiting[key.fingerprint], key)
            for key in presented(envelope.signed, envelope.slot)
            if key.fingerprint in waiting
        )
        signers = AllowedSigners.parse("\n".join([text, *learned]))
        policies = self.policies()
        try:
            verdict = judge(envelope.signed, envelope.slot, signers, lambda name: policies.get(name, Policy()), when)
        except Problem as error:
            raise error.at(file) from error
        return Judgement(verdict, learned)

    def learn(self, judgement: Judgement) -> None:
        """Keeps the keys that fingerprints stood for, after the crate that presented them was accepted."""
        for line in judgement.learned:
            self._append(self._signers, line)
        names = {PublicKey.from_line(line.split(" ", 1)[1]).fingerprint for line in judgement.learned}
        if names:
            left = [pair for pair in self._waiting() if pair[0] not in names]
            _replace(self._fingerprints, "".join(f"{fingerprint} {name}\n" for fingerprint, name in left))

    def policies(self) -> Mapping[str, Policy]:
        """By crate name. Raises `BadTrust` when the file is not what it should be."""
        try:
            tables: dict[str, Any] = tomllib.loads(_read(self._policy)).get("crate", {})
            return {name: _policy(table) for name, table in tables.items()}
        except (tomllib.TOMLDecodeError, ValueError, AttributeError) as error:
            raise BadTrust(
                f"{self._policy} cannot be read: {error}",
                hint='write it like: [crate.site], principals = ["release", "audit"], threshold = 2',
            ) from error

    def set_policy(self, name: str, policy: Policy | None) -> None:
        """Replaces the policy of a crate name; None goes back to the default. Raises `BadTrust`."""
        _check_name(name)
        if policy is not None and not 1 <= policy.threshold <= len(policy.principals or (0,) * policy.threshold):
            raise BadTrust(
                f"{policy.threshold} signatures of {len(policy.principals or ())} principals cannot be had",
                hint="a threshold is at least 1 and at most the number of principals",
            )
        policies = {**self.policies(), name: policy}
        tables = [_table(key, value) for key, value in sorted(policies.items()) if value is not None]
        _replace(self._policy, "\n".join(tables))

    def floor(self, name: str, digest: str) -> Floor | None:
        """The lowest release of a crate that is accepted, for judging the one with this `digest`.

        A floor that an operator set names no crate: any one of that serial is as good.
        """
        row = self._store.database.reader.execute(
            "SELECT serial, digest FROM floors WHERE name = ?", (name,)
        ).fetchone()
        return None if row is None else Floor(row[0], row[1] or digest)

    def floors(self) -> dict[str, int]:
        return dict(self._store.database.reader.execute("SELECT name, serial FROM floors ORDER BY name"))

    def set_floor(self, name: str, serial: int) -> None:
        """Accepts releases of `name` from `serial` on, whatever was active before; 0 accepts all."""
        _check_name(name)
        with self._store.database.write() as connection:
            if serial > 0:
                connection.execute("INSERT OR REPLACE INTO floors VALUES (?, ?, '')", (name, serial))
            else:
                connection.execute("DELETE FROM floors WHERE name = ?", (name,))

    def _waiting(self) -> list[tuple[str, str]]:
        lines = [line.split() for line in _read(self._fingerprints).splitlines() if line.strip()]
        if not all(len(words) == 2 and _FINGERPRINT.fullmatch(words[0]) for words in lines):
            raise BadTrust(f"{self._fingerprints} cannot be read", hint="each line is a fingerprint and a name")
        return [(words[0], words[1]) for words in lines]

    def _append(self, path: Path, line: str) -> None:
        text = _read(path)
        if line not in text.split("\n"):
            gap = "\n" if text and not text.endswith("\n") else ""
            _replace(path, f"{text}{gap}{line}\n")


def _policy(table: Mapping[str, Any]) -> Policy:
    principals, threshold = table.get("principals"), table.get("threshold", 1)
    unknown = set(table) - {"principals", "threshold"}
    if unknown:
        raise ValueError(f"{min(unknown)!r} is not known here")
    if type(threshold) is not int:
        raise ValueError("threshold is not a number")
    if principals is None:
        return Policy(None, threshold)
    if not isinstance(principals, list) or not all(isinstance(name, str) for name in principals):
        raise ValueError("principals is not a list of names")
    return Policy(tuple(principals), threshold)


def _table(name: str, policy: Policy) -> str:
    lines = [f"[crate.{json.dumps(name)}]"]
    if policy.principals is not None:
        lines.append(f"principals = {json.dumps(policy.principals)}")
    return "\n".join([*lines, f"threshold = {policy.threshold}", ""])


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise BadTrust(f"{name!r} cannot be the name of a crate", hint="it is the name in [crate] of its recipe")


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""


def _replace(path: Path, text: str) -> None:
    """Writes beside, syncs, renames."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with disk.problems(f"writing {path}"):
        temporary.write_text(text)
        disk.sync_file(temporary)
        temporary.rename(path)
        disk.sync_folder(path.parent)
