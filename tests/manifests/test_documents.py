"""YAML that every library reads alike: what is written must be read as the same text, by anybody."""

from __future__ import annotations

import re

import pytest
import yaml

from manifests import documents

# Text that some YAML library takes for a number, a boolean, a date or structure.
TRICKY = {
    "an exponent": "1e3",
    "a digest of digits and an e": "123e45",
    "octal, old": "0777",
    "octal, new": "0o777",
    "hexadecimal": "0x1f",
    "underscores": "1_000",
    "sixty": "1:30",
    "yes, once": "y",
    "Norway": "NO",
    "on": "on",
    "null": "Null",
    "a tilde": "~",
    "a date": "2026-11-23",
    "empty": "",
    "spaces around": " x ",
    "a colon": "a: b",
    "a comment": "a # b",
    "an anchor": "&a",
    "a tag": "!!python/object:os.system",
    "two documents": "a\n---\nb",
    "lines with spaces at their ends": "a \n b\n",
    "a tab": "\ta",
    "a quote": "\"'",
    "a control character": "\x07",
    "not ASCII": "Grüße ☺",
    "infinity": ".inf",
}


@pytest.mark.parametrize("text", TRICKY.values(), ids=TRICKY)
def test_text_stays_text(text: str) -> None:
    value = {"key": text, "list": [text], text: 1}
    written = documents.write([value])
    assert yaml.safe_load(written) == value
    assert documents.read(written.encode(), "here") == [value]
    if "\n" not in text:
        # what stands there is in quotes: nobody has to know what another library would make of it
        assert re.search(r'^key: "', written, re.MULTILINE)


def test_values_keep_their_types_and_keys_their_order() -> None:
    value = {"z": 1, "a": [True, None, 1.5, {"b": {}}], "m": "plain-text/x_1.0"}
    written = documents.write([value, {"second": 1}])
    assert list(yaml.safe_load_all(written)) == [value, {"second": 1}]
    assert written.startswith("z: 1\na:\n")
    assert "m: plain-text/x_1.0\n" in written


def test_images_are_found_in_every_kind_of_container() -> None:
    template = {
        "spec": {
            "initContainers": [{"image": "a"}],
            "containers": [{"image": "b"}, {"name": "without"}],
            "volumes": [{"image": "not one"}],
        }
    }
    cron = {"kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": template}}}}
    assert list(documents.images([cron, {"kind": "ConfigMap", "data": {"containers": "image: c"}}])) == ["a", "b"]
