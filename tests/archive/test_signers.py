"""`allowed_signers` read as ssh-keygen reads it: every case is put to both."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archive import errors, trust
from archive.errors import Problem
from archive.signers import AllowedSigners, line_for, matches
from archive.sshsig import NAMESPACE, fill_slot
from archive.trust import Policy
from tests.archive.crates import NOW, SIGNER, assemble, key
from tests.archive.openssh import SoftwareSecurityKey, accepts

KEY = SIGNER.public.line
OTHER = key(2).public.line
SIGNED = assemble()[512 : 512 + int(assemble()[124:135], 8)]
SIGNATURE = SIGNER.sign(SIGNED)
RSA = (
    "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAQQDTOSYoZmNfFZyXHbL4V2vTqJbHTJmGrZJW3IQGfIYpxYFBxLZFOUJbYlmlVNKuuGYS"
    "c3aCkSCHzWyjLsPDmRRn"
)

CASES: dict[str, tuple[str, str, bool]] = {
    "a plain line": (f"release {KEY}", "release", True),
    "another principal": (f"release {KEY}", "security", False),
    "another key": (f"release {OTHER}", "release", False),
    "the second line": (f"release {OTHER}\nrelease {KEY}", "release", True),
    "a comment behind the key": (f"release {KEY} release key of 2026", "release", True),
    "comments and blank lines": (f"# who may sign\n\n   # more\nrelease {KEY}\n\n", "release", True),
    "a line that is commented out": (f"#release {KEY}", "release", False),
    "blanks and tabs in front": (f" \t release {KEY}", "release", True),
    "tabs between the words": (f"release\t{KEY}", "release", True),
    "carriage returns": (f"release {KEY}\r\n", "release", True),
    "one of several principals": (f"alice,release,bob {KEY}", "release", True),
    "quoted principals": (f'"alice,release" {KEY}', "release", True),
    "a quoted principal with a blank": (f'"the release team" {KEY}', "the release team", True),
    "a star": (f"*@example.org {KEY}", "ann@example.org", True),
    "a star elsewhere": (f"*@example.org {KEY}", "ann@example.com", False),
    "question marks": (f"r????se {KEY}", "release", True),
    "too few question marks": (f"r???se {KEY}", "release", False),
    "dots are dots": (f"a.b {KEY}", "axb", False),
    "brackets are brackets": (f"[r]elease {KEY}", "release", False),
    "case matters": (f"Release {KEY}", "release", False),
    "an exclusion behind": (f"*,!release {KEY}", "release", False),
    "an exclusion in front": (f"!release,* {KEY}", "release", False),
    "an exclusion of somebody else": (f"*,!mallory {KEY}", "release", True),
    "an exclusion alone": (f"!mallory {KEY}", "release", False),
    "the namespace": (f'release namespaces="{NAMESPACE}" {KEY}', "release", True),
    "one of several namespaces": (f'release namespaces="git,{NAMESPACE}" {KEY}', "release", True),
    "a pattern of namespaces": (f'release namespaces="buzzcrate-*" {KEY}', "release", True),
    "an excluded namespace": (f'release namespaces="*,!{NAMESPACE}" {KEY}', "release", False),
    "other namespaces": (f'release namespaces="git" {KEY}', "release", False),
    "options in capitals": (f'release NAMESPACES="git" {KEY}', "release", False),
    "an authority's key by itself": (f"release cert-authority {KEY}", "release", False),
    "an authority's key, then the key": (f"release cert-authority {KEY}\nrelease {KEY}", "release", True),
    "after its beginning": (f'release valid-after="20261101Z" {KEY}', "release", True),
    "before its beginning": (f'release valid-after="20261201Z" {KEY}', "release", False),
    "at its beginning": (f'release valid-after="20261123090000Z" {KEY}', "release", True),
    "a second before its beginning": (f'release valid-after="20261123090001Z" {KEY}', "release", False),
    "before its end": (f'release valid-before="20261201Z" {KEY}', "release", True),
    "after its end": (f'release valid-before="20261101Z" {KEY}', "release", False),
    "at its end": (f'release valid-before="20261123090000Z" {KEY}', "release", True),
    "a second after its end": (f'release valid-before="20261123085959Z" {KEY}', "release", False),
    "to the minute": (f'release valid-before="202611230859Z" {KEY}', "release", False),
    "UTC spelled out": (f'release valid-after="20261123090000UTC" {KEY}', "release", True),
    "within its time": (f'release valid-after="20260101Z",valid-before="20270101Z" {KEY}', "release", True),
    "namespace and time": (f'release namespaces="*",valid-before="20260101Z" {KEY}', "release", False),
    "a line that is over, then one that is not": (
        f'release valid-before="20260101Z" {KEY}\nrelease {KEY}',
        "release",
        True,
    ),
    "an unused line of another type": (f"somebody {RSA}\nrelease {KEY}", "release", True),
}


def ours(signers: str, principal: str) -> bool:
    policy = Policy(principals=(principal,))
    try:
        trust.judge(SIGNED, fill_slot((SIGNATURE,)), AllowedSigners.parse(signers), lambda _: policy, NOW)
    except errors.Refused:
        return False
    return True


@pytest.mark.parametrize("name", CASES)
def test_a_line_means_what_it_means_to_ssh_keygen(name: str, tmp_path: Path) -> None:
    signers, principal, expected = CASES[name]
    assert accepts(tmp_path, signers, principal, SIGNATURE, SIGNED, time="20261123090000Z") is expected
    assert ours(signers, principal) is expected


FAULTY: dict[str, str] = {
    "no key": "release",
    "no key behind the options": 'release namespaces="git"',
    "no principal": f'"" {KEY}',
    "a quote that is not closed": f'"release {KEY}',
    "an unknown option": f"release touch-required {KEY}",
    "an option given twice": f'release namespaces="a",namespaces="b" {KEY}',
    "an option without its value": f"release namespaces {KEY}",
    "a value without quotes": f"release namespaces=git {KEY}",
    "a value for an authority": f'release cert-authority="yes" {KEY}',
    "a time that is none": f'release valid-after="yesterday" {KEY}',
    "a month that is none": f'release valid-after="20261301Z" {KEY}',
    "an end before the beginning": f'release valid-after="20260102",valid-before="20260101" {KEY}',
    "a key that is no base64": "release ssh-ed25519 AAA!",
    "a key that is cut short": f"release {KEY[:-8]}",
    "a key of another type than it says": f"release sk-ssh-ed25519@openssh.com {KEY.split()[1]}",
}


@pytest.mark.parametrize("signers", FAULTY.values(), ids=FAULTY)
def test_a_faulty_line_is_refused_here_as_there(signers: str, tmp_path: Path) -> None:
    with pytest.raises(errors.MalformedSigners, match="line 2 of the allowed signers"):
        AllowedSigners.parse(f"# first\n{signers}\n")
    assert not accepts(tmp_path, signers, "release", SIGNATURE, SIGNED, time="20261123090000Z")


def test_local_times_are_local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        line = f'release valid-before="20261123175959" {KEY}'  # one second before NOW, in Tokyo
        assert not ours(line, "release")
        assert not accepts(tmp_path, line, "release", SIGNATURE, SIGNED, time="20261123090000Z")
        line = f'release valid-before="20261123180000" {KEY}'
        assert ours(line, "release")
        assert accepts(tmp_path, line, "release", SIGNATURE, SIGNED, time="20261123090000Z")
    finally:
        monkeypatch.undo()
        time.tzset()


def test_security_keys_stand_in_the_file_like_others(tmp_path: Path) -> None:
    signer = SoftwareSecurityKey()
    line = line_for("release", signer.public)
    verdict = trust.judge(
        SIGNED, fill_slot((signer.sign(SIGNED),)), AllowedSigners.parse(line), lambda _: Policy(), NOW
    )
    assert verdict.signatures == (trust.Signature("release", signer.public.fingerprint),)


@pytest.mark.parametrize("name", ["", "a b", "a,b", "*", "!a", 'a"', "a\nb", "-a"])
def test_a_name_that_is_a_pattern_cannot_be_trusted_as_one(name: str) -> None:
    with pytest.raises(Problem):
        line_for(name, SIGNER.public)


PATTERN = st.text("ab*?!,.", max_size=8)


@settings(max_examples=60, deadline=None)
@given(patterns=PATTERN, principal=st.text("ab.", min_size=1, max_size=4))
def test_patterns_match_as_ssh_keygen_matches(
    tmp_path_factory: pytest.TempPathFactory, patterns: str, principal: str
) -> None:
    folder = tmp_path_factory.mktemp("patterns")
    line = f'"x,{patterns}" {KEY}'
    assert matches(principal, f"x,{patterns}") == accepts(folder, line, principal, SIGNATURE, SIGNED)


def test_keys_presented_are_those_that_signed() -> None:
    slot = fill_slot((key(2).sign(b"other"), SIGNATURE))
    assert trust.presented(SIGNED, slot) == (SIGNER.public,)


def test_the_verdict_names_who_counted() -> None:
    signers = AllowedSigners.parse(f"release {KEY}\nsecond {OTHER}\n")
    slot = fill_slot((SIGNATURE, key(2).sign(SIGNED)))
    verdict = trust.judge(SIGNED, slot, signers, lambda name: Policy(threshold=2), datetime(2026, 1, 1, tzinfo=UTC))
    assert [one.principal for one in verdict.signatures] == ["release", "second"]
    assert verdict.release.name == "site"
