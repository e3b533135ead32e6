"""Labels and taints of a node that is in the cluster: what to change so that it has those of the site file. Pure.

A node says them itself only when it joins. What was given is written down in annotations, so that what leaves the
site file leaves the node, and what others put there stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from deploys.order import Node

LABELS, TAINTS = "buzzcrate.internal/labels", "buzzcrate.internal/taints"
"""Annotations: the keys of the labels, and `key:effect` of the taints, with commas between."""


def commands(node: Node, found: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """What to tell kubectl, given the Node object `found`; nothing when all is as it should be.

    What is about to be given is written down before, so that it is known for ours wherever this is interrupted.
    """
    metadata = found.get("metadata", {})
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    taints = {_key(taint): taint.get("value", "") for taint in found.get("spec", {}).get("taints") or ()}
    wanted = dict(map(_taint, node.taints))
    given = {LABELS: _split(annotations.get(LABELS)), TAINTS: _split(annotations.get(TAINTS))}
    target = {LABELS: set(node.labels), TAINTS: set(wanted)}

    both = {name: given[name] | target[name] for name in target}
    yield from _annotate(node, annotations, both)
    new = [f"{key}={value}" for key, value in sorted(node.labels.items()) if labels.get(key) != value]
    old = [f"{key}-" for key in sorted(given[LABELS] - target[LABELS]) if key in labels]
    if new or old:
        yield "label", "node", node.name, "--overwrite", *new, *old
    new = [_written(key, value) for key, value in sorted(wanted.items()) if taints.get(key) != value]
    old = [f"{key}-" for key in sorted(given[TAINTS] - target[TAINTS]) if key in taints]
    if new or old:
        yield "taint", "node", node.name, "--overwrite", *new, *old
    yield from _annotate(node, {name: _joined(keys) for name, keys in both.items()}, target)


def _annotate(node: Node, now: Mapping[str, str], wanted: Mapping[str, Iterable[str]]) -> Iterator[tuple[str, ...]]:
    texts = {name: _joined(keys) for name, keys in wanted.items()}
    if words := [f"{name}={text}" for name, text in texts.items() if now.get(name, "") != text]:
        yield "annotate", "node", node.name, "--overwrite", *words


def _joined(keys: Iterable[str]) -> str:
    return ",".join(sorted(keys))


def _split(text: object) -> set[str]:
    return {key for key in str(text or "").split(",") if key}


def _taint(text: str) -> tuple[str, str]:
    """`key=value:Effect` or `key:Effect`, as kubectl writes them: a node has one value of a key for an effect."""
    name, _, effect = text.rpartition(":")
    key, _, value = name.partition("=")
    return f"{key}:{effect}", value


def _written(key: str, value: str) -> str:
    name, _, effect = key.rpartition(":")
    return f"{name}={value}:{effect}" if value else key


def _key(taint: Mapping[str, str]) -> str:
    return f"{taint.get('key', '')}:{taint.get('effect', '')}"
