"""A profile made into what one site's cluster is given: pure, so that the same choices are the same bytes."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from manifests import documents
from manifests.definition import Chart, Check, Definition
from manifests.documents import Object
from manifests.errors import ProfileInvalid

CONTENT = "crate.internal/content"
"""The annotation of everything deployed that says which content of ours it has."""

FACTS = {
    "site.domain": "domain",
    "site.apps": "apps",
    "crate.name": "name",
    "crate.address": "address",
    "crate.repository": "repository",
    "crate.authority": "authority",
}
"""Placeholders that are not settings, and the field of `Facts` that each stands for. `secret.NAME` is one too."""

_SECRET = "secret."  # noqa: S105 - a prefix


@dataclass(frozen=True)
class Facts:
    """What placeholders may say about the site; `apps` is the address that applications answer at.

    `repository` is the crate's repository of charts as pods reach it, `authority` the certificate (PEM) that vouches
    for it. `seed` is the site's own secret, from which profiles' secrets are derived: the same at every run.
    """

    domain: str
    apps: str
    address: str
    repository: str
    authority: str
    name: str = "crate.internal"
    seed: bytes = field(default=b"", repr=False)

    def look_up(self, name: str, profile: str) -> str:
        if name.startswith(_SECRET):
            made = hmac.digest(self.seed, f"{profile}/{name.removeprefix(_SECRET)}".encode(), "sha256")
            return base64.urlsafe_b64encode(made[:24]).decode()
        return str(getattr(self, FACTS[name]))


@dataclass(frozen=True)
class Rendered:
    """A profile as one site gets it: manifests by file name in the order of their names, and what to ask then.

    `secret` are the manifests that a secret of the site was filled into, whatever kind of object it is in.
    """

    name: str
    namespaces: tuple[str, ...]
    manifests: Mapping[str, str]
    checks: tuple[Check, ...]
    secret: frozenset[str] = frozenset()


def is_fact(name: str) -> bool:
    """Whether `name` is a placeholder that any profile may use."""
    return name in FACTS or (name.startswith(_SECRET) and name != _SECRET)


def render(
    definition: Definition,
    parsed: Mapping[str, list[Object]],
    settings: Mapping[str, Any],
    given: frozenset[str],
    facts: Facts,
) -> Rendered:
    """`parsed` are the profile's files, `settings` every one of its settings, `given` those that the site chose itself.

    Raises `ProfileInvalid` for a table that is meant to stand inside of text.
    """
    profile = definition.profile.name

    def of_site(name: str) -> str:
        return facts.look_up(name, profile)

    choices = {setting.name: setting.choices for setting in definition.settings}
    # What a person of the site writes is a value and no template; what the profile's author wrote may be one.
    chosen = {name: value if name in given else documents.fill(value, of_site) for name, value in settings.items()}

    def look_up(name: str) -> Any:
        if name not in chosen:
            return of_site(name)
        return choices[name][chosen[name]] if choices[name] else chosen[name]

    def reveals(value: Any) -> bool:
        names = {*documents.placeholders(value)}
        names.update(*(documents.placeholders(settings[name]) for name in names & settings.keys() - given))
        return any(name.startswith(_SECRET) for name in names)

    values = {chart.values for chart in definition.charts}
    secret = {file for file, objects in parsed.items() if reveals(objects)}
    secret |= {_file(chart) for chart in definition.charts if chart.values in secret}
    try:
        manifests = {
            file: [documents.fill(object_, look_up) for object_ in objects]
            for file, objects in parsed.items()
            if file not in values and _holds(definition.when.get(file, ""), chosen)
        }
        for chart in definition.charts:
            filled = documents.fill(parsed[chart.values][0], look_up) if chart.values else {}
            manifests[_file(chart)] = [_release(chart, filled, facts)]
        checks = tuple(
            check.model_copy(update={key: documents.fill(getattr(check, key), look_up) for key in ("url", "host")})
            for check in definition.checks
            if _holds(check.when, chosen)
        )
    except ValueError as error:
        raise ProfileInvalid(f"the profile {profile}: {error}") from error
    written = {file: documents.write([_marked(object_) for object_ in manifests[file]]) for file in sorted(manifests)}
    return Rendered(profile, definition.profile.namespaces, written, checks, frozenset(secret & written.keys()))


def _file(chart: Chart) -> str:
    return f"chart-{chart.name}.yaml"


def _holds(condition: str, chosen: Mapping[str, Any]) -> bool:
    name, equals, word = condition.partition("=")
    if not name:
        return True
    return bool(chosen[name] == word) if equals else bool(chosen[name])


def _marked(object_: Object) -> Object:
    """`object_` with the label that it is ours, and the annotation by which one sees that the cluster took it."""
    content = hashlib.sha256(json.dumps(object_, sort_keys=True).encode()).hexdigest()[:16]
    metadata = dict(object_["metadata"])
    metadata["labels"] = {**metadata.get("labels", {}), "app.kubernetes.io/managed-by": "buzzcrate"}
    metadata["annotations"] = {**metadata.get("annotations", {}), CONTENT: content}
    return {**object_, "metadata": metadata}


def _release(chart: Chart, values: Object, facts: Facts) -> Object:
    """What k3s' helm-controller installs the chart from: the crate's own repository, by its authority.

    For a chart that k3s brings along, only what changes its values.
    """
    spec: Object = {}
    if chart.repository:
        spec = {
            "chart": chart.name,
            "version": chart.version,
            "repo": facts.repository,
            "repoCA": facts.authority,
            "targetNamespace": chart.namespace,
            "createNamespace": True,
        }
    if values:
        spec["valuesContent"] = documents.write([values])
    return {
        "apiVersion": "helm.cattle.io/v1",
        "kind": "HelmChart" if chart.repository else "HelmChartConfig",
        "metadata": {"name": chart.name, "namespace": "kube-system"},
        "spec": spec,
    }
