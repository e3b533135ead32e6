"""Which objects a set of manifests makes, and which of those that an earlier one made are to go. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from manifests.rendering import CONTENT

PREFIX = "buzzcrate-"
"""What the names of our files in k3s' manifests folder begin with."""


@dataclass(frozen=True, slots=True, order=True)
class ObjectId:
    """One object of a cluster; `namespace` is empty for what belongs to none."""

    api: str
    kind: str
    namespace: str
    name: str

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> ObjectId:
        metadata = document.get("metadata", {})
        words = (document["apiVersion"], document["kind"], metadata.get("namespace", ""), metadata["name"])
        return cls(*map(str, words))

    @property
    def resource(self) -> str:
        """As kubectl names its kind beyond doubt: `Deployment.v1.apps`, `Service`."""
        group, slash, version = self.api.rpartition("/")
        return f"{self.kind}.{version}.{group}" if slash else self.kind

    def __str__(self) -> str:
        return f"{self.kind} {self.name}" + (f" of {self.namespace}" if self.namespace else "")


def files(profiles: Iterable[tuple[str, Mapping[str, str]]]) -> dict[str, str]:
    """Every manifest by its file name on the server: k3s takes names of RFC 1123, and applies them in their order."""
    return {file_name(name, file): text for name, manifests in profiles for file, text in manifests.items()}


def file_name(profile: str, file: str) -> str:
    return f"{PREFIX}{profile}-{file}"


def made(text: str) -> list[dict[str, Any]]:
    """The objects of one manifest."""
    return [document for document in yaml.safe_load_all(text) if document]


def ids(files: Mapping[str, str]) -> dict[str, tuple[ObjectId, ...]]:
    """The objects of each file, in order."""
    return {name: tuple(ObjectId.of(document) for document in made(text)) for name, text in files.items()}


def contents(files: Mapping[str, str]) -> dict[ObjectId, str]:
    """For every object the mark of its content, which the cluster shows once it has taken it."""
    return {ObjectId.of(document): mark(document) for text in files.values() for document in made(text)}


def mark(document: Mapping[str, Any]) -> str:
    return str(document.get("metadata", {}).get("annotations", {}).get(CONTENT, ""))


def is_secret(text: str) -> bool:
    """Whether a manifest is one of secrets, and not to be shown."""
    return any(document.get("kind") == "Secret" for document in made(text))


@dataclass(frozen=True)
class Index:
    """What was put on the server: kept there beside the manifests, and never less than what is in the cluster."""

    files: Mapping[str, tuple[ObjectId, ...]]

    def to_text(self) -> str:
        listed = {name: [_words(it) for it in found] for name, found in sorted(self.files.items())}
        return json.dumps(listed, indent=1) + "\n"

    @classmethod
    def parse(cls, text: str) -> Index:
        """An index that cannot be read is none: its files are still found by their names."""
        try:
            listed = json.loads(text) if text else {}
            return cls({name: tuple(ObjectId(*words) for words in found) for name, found in listed.items()})
        except (ValueError, TypeError, AttributeError):
            return cls({})

    def united(self, other: Index) -> Index:
        """What is in the cluster while one becomes the other."""
        names = [*self.files, *(name for name in other.files if name not in self.files)]
        both = {name: (*self.files.get(name, ()), *other.files.get(name, ())) for name in names}
        return Index({name: tuple(dict.fromkeys(found)) for name, found in both.items()})

    def without(self, other: Index) -> list[ObjectId]:
        """What `other` does not have, in the order in which it may go: what came last first.

        So a resource goes before the chart that brought its kind, and both before their namespace.
        """
        stays = {it for found in other.files.values() for it in found}
        gone = list(dict.fromkeys(it for found in self.files.values() for it in found if it not in stays))
        gone.reverse()
        return sorted(gone, key=lambda it: it.kind == "Namespace")


def _words(identity: ObjectId) -> list[str]:
    return [identity.api, identity.kind, identity.namespace, identity.name]
