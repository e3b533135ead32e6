"""What k3s is told: config.yaml of servers and agents, token, registration, registries.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from deploys.errors import UnfitSetting
from deploys.k3s import config, settings
from tests.deploys.k3s.orders import FULL_TOKEN, agent, crate, k3s, server


def one_server(**more: Any) -> Mapping[str, Any]:
    text = config.server(k3s(**more), server(), [server()], domain="crate.internal", interface="eth0", join="")
    return dict(config.read(text))


def test_a_server_alone_keeps_its_data_in_sqlite_and_asks_nobody_outside() -> None:
    assert one_server() == {
        "node-name": "n1",
        "node-ip": "10.77.0.11",
        "flannel-iface": "eth0",
        "resolv-conf": "/etc/buzzcrate/resolv.conf",
        "disable-default-registry-endpoint": True,
        "write-kubeconfig-mode": "0600",
        "tls-san": ["10.77.0.11", "n1.crate.internal"],
    }


def test_three_servers_share_etcd_which_the_first_begins_and_the_others_join() -> None:
    servers = [server(1), server(2), server(3)]
    first, second = (
        config.read(config.server(k3s(), node, servers, domain="x.internal", interface="eth0", join=join))
        for node, join in ((servers[0], ""), (servers[1], "10.77.0.11"))
    )
    assert first["cluster-init"] is True
    assert "server" not in first
    assert second["server"] == "https://10.77.0.11:6443"
    assert "cluster-init" not in second
    assert first["tls-san"] == second["tls-san"]


def test_an_agent_gets_none_of_the_keys_that_only_servers_know() -> None:
    wishes = k3s(
        settings={"kubelet-arg": ["max-pods=50"], "cluster-cidr": "10.99.0.0/16", "tls-san": "x"},
        disable=("servicelb",),
        embedded_registry=True,
    )
    assert config.read(config.agent(wishes, agent(), interface="end0", join="fd00::1")) == {
        "server": "https://[fd00::1]:6443",
        "node-name": "n2",
        "node-ip": "10.77.0.12",
        "flannel-iface": "end0",
        "resolv-conf": "/etc/buzzcrate/resolv.conf",
        "disable-default-registry-endpoint": True,
        "kubelet-arg": ["max-pods=50"],
    }


MERGED: dict[str, tuple[dict[str, Any], str, Any]] = {
    "the embedded registry, when asked for": ({"embedded_registry": True}, "embedded-registry", True),
    "what profiles replace and what the site wants off": (
        {"disable": ("servicelb",), "settings": {"disable": ["traefik", "servicelb"]}},
        "disable",
        ["servicelb", "traefik"],
    ),
    "more names for the certificate, in a list": (
        {"settings": {"tls-san": ["k3s.example"]}},
        "tls-san",
        ["10.77.0.11", "n1.crate.internal", "k3s.example"],
    ),
    "more names for the certificate, in a text": (
        {"settings": {"tls-san": "a.example, b.example"}},
        "tls-san",
        ["10.77.0.11", "n1.crate.internal", "a.example", "b.example"],
    ),
    "a setting of the site's": ({"settings": {"flannel-backend": "host-gw"}}, "flannel-backend", "host-gw"),
}


@pytest.mark.parametrize(("more", "key", "value"), MERGED.values(), ids=MERGED.keys())
def test_a_servers_config_takes_up(more: dict[str, Any], key: str, value: object) -> None:
    assert one_server(**more)[key] == value


REFUSED = {
    "another token": "token",
    "a token in a file": "token-file",
    "another database": "datastore-endpoint",
    "another place for the data": "data-dir",
    "a way around the crate's registry": "private-registry",
    "the public registries as a last resort": "disable-default-registry-endpoint",
    "another resolver": "resolv-conf",
    "one label for all nodes": "node-label",
    "labels appended": "node-label+",
    "an address for all nodes": "node-ip",
    "etcd for a single server": "cluster-init",
    "another port": "https-listen-port",
}


@pytest.mark.parametrize("key", REFUSED.values(), ids=REFUSED.keys())
def test_a_site_may_not_set(key: str) -> None:
    with pytest.raises(UnfitSetting, match=r"\[cluster.settings\] .* is not for the site to set") as refusal:
        settings.check({"debug": True, key: "x"})
    assert refusal.value.hint
    with pytest.raises(UnfitSetting):
        one_server(settings={key: "x"})


@pytest.mark.parametrize(
    "value",
    ["10.1.0.1/16", "10.1.0.0/16; reboot", 7, ["10.1.0.0/16"]],
    ids=["an address", "a command", "a number", "a list"],
)
def test_addresses_of_pods_are_networks(value: object) -> None:
    settings.check({"cluster-cidr": "10.1.0.0/16, fd00:42::/56", "service-cidr": "10.2.0.0/16"})
    with pytest.raises(UnfitSetting, match="is no network"):
        settings.check({"cluster-cidr": value})


def test_what_a_cluster_was_born_with_cannot_change() -> None:
    settings.check_unchanged({"cluster-cidr": "10.1.0.0/16"}, {"cluster-cidr": "10.1.0.0/16", "debug": True}, "n1")
    with pytest.raises(UnfitSetting, match=r"cluster-cidr was left to k3s .* cannot become '10\.2\.0\.0/16'"):
        settings.check_unchanged({}, {"cluster-cidr": "10.2.0.0/16"}, "n1")


def test_settings_that_look_like_secrets_of_ours_never_reach_the_shown_file() -> None:
    text = config.server(k3s(), server(), [server()], domain="x", interface="eth0", join="")
    assert "of-the-site" not in text
    assert yaml.safe_load(config.token("of-the-site")) == {"token": "of-the-site"}


REGISTERED = {
    "labels of the site's own": ({"disk": "ssd", "team.example/name": "a"}, ["disk=ssd", "team.example/name=a"]),
    "labels that a kubelet may give itself": (
        {"topology.kubernetes.io/zone": "shed", "node.kubernetes.io/kind": "pi"},
        ["node.kubernetes.io/kind=pi", "topology.kubernetes.io/zone=shed"],
    ),
    "not the roles, with which no kubelet starts": ({"node-role.kubernetes.io/worker": "", "a": "b"}, ["a=b"]),
    "nor others of Kubernetes' own": ({"storage.k8s.io/x": "1", "a": "b"}, ["a=b"]),
}


@pytest.mark.parametrize(("labels", "kept"), REGISTERED.values(), ids=REGISTERED.keys())
def test_a_node_registers_with(labels: dict[str, str], kept: list[str]) -> None:
    document = yaml.safe_load(config.registration(agent(labels=labels, taints=("b:NoSchedule", "a=1:NoExecute"))))
    assert document == {"node-label": kept, "node-taint": ["a=1:NoExecute", "b:NoSchedule"]}


def test_a_node_without_labels_and_taints_has_no_registration() -> None:
    assert not config.registration(agent())


def test_every_registry_is_the_crate() -> None:
    document = yaml.safe_load(config.registries(crate(("quay.io", "docker.io"))))
    assert list(document["mirrors"]) == ["*", "docker.io", "quay.io"]
    assert {str(mirror["endpoint"]) for mirror in document["mirrors"].values()} == {"['https://crate.internal:5000']"}
    assert document["configs"] == {"crate.internal:5000": {"tls": {"ca_file": "/etc/buzzcrate/ca.pem"}}}


def test_the_same_site_gives_the_same_bytes() -> None:
    assert config.registries(crate(("b", "a"))) == config.registries(crate(("a", "b", "a")))


TOKENS = {
    "a secret": ("of-the-site", "of-the-site", False),
    "what a server hands out": (FULL_TOKEN, "of-the-site", True),
    "the same without a name": (f"K10{'0' * 64}::secret", "secret", True),
    "a secret that begins like one": ("K10xyz", "K10xyz", False),
}


@pytest.mark.parametrize(("token", "secret", "pins"), TOKENS.values(), ids=TOKENS.keys())
def test_a_token_is_taken_apart(token: str, secret: str, pins: bool) -> None:
    assert config.secret_of(token) == secret
    assert config.pins_authority(token) is pins


JOINED = {
    "a server that joined": ("server: https://10.0.0.1:6443\n", "10.0.0.1"),
    "one over IPv6": ("server: https://[fd00::1]:6443\n", "fd00::1"),
    "a first server": ("cluster-init: true\n", ""),
    "no file": ("", ""),
    "another port": ("server: https://10.0.0.1:9345\n", ""),
    "what is no YAML": ("{", ""),
    "what is no mapping": ("- a\n", ""),
}


@pytest.mark.parametrize(("text", "address"), JOINED.values(), ids=JOINED.keys())
def test_whom_a_config_joins(text: str, address: str) -> None:
    assert config.joined(text) == address
