"""What manifests make, what of it goes when they change, and what is written down meanwhile."""

from __future__ import annotations

import pytest

from deploys.cluster.objects import Index, ObjectId, contents, files, ids, is_secret

NAMESPACE = "apiVersion: v1\nkind: Namespace\nmetadata: {name: lab}\n"
SERVICE = "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: lab}\n"
WEB = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: lab}\n"
OTHER = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: other, namespace: lab}\n"
CHART = "apiVersion: helm.cattle.io/v1\nkind: HelmChart\nmetadata: {name: pool, namespace: kube-system}\n"
POOL = "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata: {name: site, namespace: lab}\n"


def index(**manifests: str) -> Index:
    return Index(ids({name.replace("_", "-") + ".yaml": text for name, text in manifests.items()}))


def both(*texts: str) -> str:
    return "---\n".join(texts)


CHANGES: dict[str, tuple[Index, Index, list[str]]] = {
    "nothing changed": (index(a=WEB), index(a=WEB), []),
    "a first deployment": (index(), index(a=both(NAMESPACE, WEB)), []),
    "an object left out of a file that stays": (
        index(a=both(SERVICE, WEB)),
        index(a=SERVICE),
        ["Deployment web of lab"],
    ),
    "an object that moved to another file": (index(a=WEB, b=SERVICE), index(b=both(SERVICE, WEB)), []),
    "a renamed object": (index(a=WEB), index(a=OTHER), ["Deployment web of lab"]),
    "another version of a kind": (
        index(a=WEB),
        index(a=WEB.replace("apps/v1", "apps/v2")),
        ["Deployment web of lab"],
    ),
    "a whole profile, what needs another before it and namespaces last": (
        index(**{"1_namespace": NAMESPACE, "chart": CHART, "pool": POOL}),
        index(),
        ["IPAddressPool site of lab", "HelmChart pool of kube-system", "Namespace lab"],
    ),
}


@pytest.mark.parametrize(("before", "after", "gone"), CHANGES.values(), ids=CHANGES)
def test_what_no_manifest_holds_any_more_goes(before: Index, after: Index, gone: list[str]) -> None:
    assert [str(it) for it in before.without(after)] == gone


def test_the_index_never_holds_less_than_the_cluster_while_it_changes() -> None:
    before, after = index(a=both(SERVICE, WEB)), index(a=SERVICE, b=OTHER)
    meanwhile = before.united(after)
    assert before.without(meanwhile) == after.without(meanwhile) == []
    # an interruption after the manifests and before the deletions: the next run still knows what is to go
    assert before.without(after) == meanwhile.without(after)


def test_an_index_reads_back_and_a_damaged_one_is_none() -> None:
    found = index(a=both(NAMESPACE, WEB), b=POOL)
    assert Index.parse(found.to_text()) == found
    for text in ("", "{", "[1]", '{"a.yaml": [["v1"]]}', '{"a.yaml": 3}'):
        assert Index.parse(text) == Index({})


def test_kubectl_is_told_a_kind_beyond_doubt() -> None:
    assert ObjectId("apps/v1", "Deployment", "lab", "web").resource == "Deployment.v1.apps"
    assert ObjectId("v1", "Service", "lab", "web").resource == "Service"


def test_files_bear_our_name_so_that_nobody_elses_are_touched() -> None:
    assert files([("demo", {"web.yaml": WEB})]) == {"buzzcrate-demo-web.yaml": WEB}


def test_secrets_are_known_as_such_and_marks_are_read() -> None:
    secret = 'apiVersion: v1\nkind: Secret\nmetadata: {name: a, annotations: {crate.internal/content: "12"}}\n'
    assert is_secret(both(SERVICE, secret))
    assert not is_secret(both(SERVICE, WEB))
    assert contents({"a": secret}) == {ObjectId("v1", "Secret", "", "a"): "12"}
