"""The profiles that come along, held against Kubernetes' own schemas; and every way in which a profile can be wrong."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from archive.errors import Problem
from archive.references import Reference
from manifests import documents, profiles
from manifests.errors import ProfileInvalid, SettingInvalid, UnknownProfile
from manifests.profiles import Profile
from manifests.rendering import CONTENT, Facts, Rendered

FACTS = Facts(
    domain="crate.internal",
    apps="10.77.0.200",
    address="10.77.0.1",
    repository="https://10.77.0.1:5000/helm",
    authority="-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
    seed=b"the site's own",
)
SITES: dict[str, tuple[str, Mapping[str, object]]] = {
    "metallb with a range": ("metallb", {"range": "10.77.0.200-10.77.0.220"}),
    "metallb with a network": ("metallb", {"range": "10.77.0.192/28"}),
    "traefik as it comes": ("traefik", {}),
    "traefik told everything": ("traefik", {"replicas": 2, "access-log": True, "address": "10.77.0.9"}),
    "the demo as it comes": ("demo", {}),
    "the demo without disk or ingress": ("demo", {"storage": "scratch", "ingress": False, "replicas": 3}),
}
NEWEST = kubernetes_validate.latest_version()


def rendered(name: str, settings: Mapping[str, object] | None = None, facts: Facts = FACTS) -> Rendered:
    return profiles.find(name).render(settings or {}, facts)


def objects(found: Rendered) -> Iterator[tuple[str, dict[str, Any]]]:
    for file, text in found.manifests.items():
        for document in yaml.safe_load_all(text):
            yield file, document


def one(found: Rendered, kind: str, name: str) -> dict[str, Any]:
    return next(it for _, it in objects(found) if (it["kind"], it["metadata"]["name"]) == (kind, name))


@pytest.mark.parametrize(("name", "settings"), SITES.values(), ids=SITES)
def test_every_manifest_is_valid_for_the_newest_kubernetes(name: str, settings: Mapping[str, object]) -> None:
    judged = 0
    for _, document in objects(rendered(name, settings)):
        if document["apiVersion"].split("/")[0] in {"helm.cattle.io", "metallb.io"}:
            continue  # their schemas are not Kubernetes'; their own tests are below
        kubernetes_validate.validate(document, NEWEST, strict=True)
        judged += 1
    assert judged or name == "traefik"


@pytest.mark.parametrize(("name", "settings"), SITES.values(), ids=SITES)
def test_every_image_of_a_manifest_is_one_that_the_crate_brings(name: str, settings: Mapping[str, object]) -> None:
    found = profiles.find(name)
    held = {Reference.parse(image.ref) for image in found.images}
    used = {Reference.parse(it) for _, one in objects(found.render(settings, FACTS)) for it in documents.images(one)}
    assert used <= held


@pytest.mark.parametrize(("name", "settings"), SITES.values(), ids=SITES)
def test_the_same_choices_are_the_same_bytes_and_everything_is_marked(
    name: str, settings: Mapping[str, object]
) -> None:
    found = rendered(name, settings)
    assert found == rendered(name, settings)
    for _, document in objects(found):
        assert len(document["metadata"]["annotations"][CONTENT]) == 16
        assert document["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "buzzcrate"


def test_workloads_are_probed_bounded_and_unprivileged() -> None:
    deployments = [it for _, it in objects(rendered("demo")) if it["kind"] == "Deployment"]
    assert {it["metadata"]["name"] for it in deployments} == {"web", "postgres"}
    for deployment in deployments:
        pod = deployment["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        for container in pod["containers"]:
            assert {"startupProbe", "readinessProbe", "livenessProbe"} <= container.keys()
            assert container["resources"]["limits"]["memory"]
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert container["securityContext"]["readOnlyRootFilesystem"] is True


def test_the_database_is_on_a_volume_unless_it_may_be_lost() -> None:
    def volume(found: Rendered) -> object:
        return one(found, "Deployment", "postgres")["spec"]["template"]["spec"]["volumes"][0]

    kept = rendered("demo", {"size": "5Gi"})
    assert volume(kept) == {"name": "data", "persistentVolumeClaim": {"claimName": "postgres"}}
    claim = one(kept, "PersistentVolumeClaim", "postgres")
    assert claim["spec"]["resources"]["requests"]["storage"] == "5Gi"
    lost = rendered("demo", {"storage": "scratch"})
    assert volume(lost) == {"name": "data", "emptyDir": {}}
    assert "2-volume.yaml" not in lost.manifests


def test_checks_ask_the_service_and_the_ingress_only_where_there_is_one() -> None:
    service, ingress = rendered("demo").checks
    assert (service.url, service.host) == ("http://{web.demo}/", "")
    assert (ingress.url, ingress.host) == ("http://10.77.0.200/", "demo.apps.crate.internal")
    assert rendered("demo", {"ingress": False}).checks == (service,)
    assert one(rendered("demo"), "Ingress", "web")["spec"]["rules"][0]["host"] == ingress.host


def test_a_secret_is_the_same_at_every_run_and_another_at_every_site() -> None:
    def password(facts: Facts) -> str:
        return str(one(rendered("demo", facts=facts), "Secret", "postgres")["stringData"]["password"])

    assert password(FACTS) == password(FACTS)
    assert len(base64.urlsafe_b64decode(password(FACTS))) == 24
    assert password(FACTS) != password(replace(FACTS, seed=b"another"))
    assert "the site's own" not in repr(FACTS)


def test_a_chart_is_installed_from_the_crate_and_by_its_authority() -> None:
    found = one(rendered("metallb", {"range": "10.77.0.192/28"}), "HelmChart", "metallb")
    [chart] = profiles.find("metallb").charts
    assert found["metadata"]["namespace"] == "kube-system"
    values = yaml.safe_load(found["spec"].pop("valuesContent"))
    assert found["spec"] == {
        "chart": "metallb",
        "version": chart.version,
        "repo": FACTS.repository,
        "repoCA": FACTS.authority,
        "targetNamespace": "metallb-system",
        "createNamespace": True,
    }
    # or the chart runs FRR, which is not among the profile's images
    assert values["speaker"]["frr"] == values["frrk8s"] == {"enabled": False}
    assert profiles.find("metallb").disable == ("servicelb",)


def test_metallb_announces_the_range_of_the_site() -> None:
    found = rendered("metallb", {"range": "10.77.0.200-10.77.0.220"})
    assert one(found, "IPAddressPool", "site")["spec"]["addresses"] == ["10.77.0.200-10.77.0.220"]
    assert one(found, "L2Advertisement", "site")["spec"] == {"ipAddressPools": ["site"]}
    for kind in ("IPAddressPool", "L2Advertisement"):
        assert one(found, kind, "site")["apiVersion"] == "metallb.io/v1beta1"
        assert one(found, kind, "site")["metadata"]["namespace"] == "metallb-system"


def test_traefik_changes_the_values_of_the_chart_that_k3s_brings() -> None:
    found = one(rendered("traefik", {"replicas": 2}), "HelmChartConfig", "traefik")
    values = yaml.safe_load(found["spec"]["valuesContent"])
    assert values["deployment"] == {"replicas": 2}
    assert values["service"]["annotations"] == {"metallb.io/loadBalancerIPs": "10.77.0.200"}
    assert "--global.sendanonymoususage=false" in values["globalArguments"]


def test_what_a_person_writes_stays_one_value_whatever_it_holds() -> None:
    hostile = 'x.example\n---\nkind: ClusterRoleBinding\nevil: "yes" ${secret.postgres} #'
    found = rendered("demo", {"host": hostile})
    assert one(found, "Ingress", "web")["spec"]["rules"][0]["host"] == hostile
    assert [it["kind"] for _, it in objects(found)] == [it["kind"] for _, it in objects(rendered("demo"))]


SETTINGS: dict[str, tuple[str, Mapping[str, object], str, str, str]] = {
    "a setting that is nearly right": ("demo", {"storge": "scratch"}, "storge", "has no setting storge", "storage?"),
    "a choice that is none": ("demo", {"storage": "volumes"}, "storage", "cannot be 'volumes'", "volume?"),
    "text for a number": ("demo", {"replicas": "2"}, "replicas", "a whole number, not '2'", "without quotes"),
    "a flag for a number": ("demo", {"replicas": True}, "replicas", "a whole number, not True", "without quotes"),
    "text for a flag": ("demo", {"ingress": "no"}, "ingress", "true or false, not 'no'", "without quotes"),
    "a size that is none": ("demo", {"size": "1 GB"}, "size", "a quantity, not '1 GB'", "500Mi"),
    "a setting that has to be made": ("metallb", {}, "range", "needs range: addresses on", "[profiles.metallb]"),
    "a range backwards": ("metallb", {"range": "10.0.0.9-10.0.0.1"}, "range", "a range of addresses", "10.77.0.200"),
    "a network with host bits": ("metallb", {"range": "10.0.0.9/24"}, "range", "a range of addresses", "10.77.0.192"),
}


@pytest.mark.parametrize(("name", "values", "setting", "what", "hint"), SETTINGS.values(), ids=SETTINGS)
def test_a_wrong_setting_is_named(name: str, values: Mapping[str, object], setting: str, what: str, hint: str) -> None:
    with pytest.raises(SettingInvalid) as caught:
        rendered(name, values)
    assert caught.value.setting == setting
    assert what in caught.value.what
    assert hint in caught.value.hint
    assert caught.value.exit_code == 2


GOOD = {
    "profile.toml": """
[profile]
name = "mine"
about = "one pod"
namespaces = ["mine"]
[[images]]
ref = "registry.example.org/app:1"
[[settings]]
name = "word"
type = "text"
about = "a word"
default = "hello from ${site.domain}"
""",
    "pod.yaml": """
apiVersion: v1
kind: Pod
metadata: {name: app, namespace: mine}
spec:
  containers:
    - {name: app, image: "registry.example.org/app:1", args: ["${word}", "a $${literal}", "at ${crate.address}:80"]}
""",
}


def parse(files: Mapping[str, str]) -> Profile:
    return Profile.parse("mine", {name: text.encode() for name, text in files.items()}, "profiles/mine")


def test_a_profile_of_ones_own_is_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    for name, text in GOOD.items():
        (folder / name).write_text(text)
    (folder / "README.md").write_text("not for the cluster")
    found = profiles.load(folder)
    assert set(found.files) == set(GOOD)
    pod = one(found.render({}, FACTS), "Pod", "app")
    assert pod["spec"]["containers"][0]["args"] == ["hello from crate.internal", "a ${literal}", "at 10.77.0.1:80"]


def test_a_profile_that_the_crate_carries_goes_before_one_of_this_program() -> None:
    own = {"profile.toml": b'[profile]\nname = "demo"\nabout = "another"\n'}
    assert profiles.find("demo", {"demo": own}).definition.profile.about == "another"
    assert profiles.find("demo", {}).images


def changed(file: str, old: str, new: str) -> dict[str, str]:
    assert old in GOOD[file]
    return {**GOOD, file: GOOD[file].replace(old, new)}


WRONG: dict[str, tuple[Mapping[str, str], str, str]] = {
    "no profile.toml": ({"pod.yaml": GOOD["pod.yaml"]}, "profiles/mine is no profile", "docs/profiles.md"),
    "a key that is nearly right": (
        changed("profile.toml", "[[images]]", "[[imges]]"),
        "profile.toml:6: imges: nothing is called that here",
        "images?",
    ),
    "another name than its folder": (
        changed("profile.toml", 'name = "mine"', 'name = "yours"'),
        "profile.toml:3: profile.name: a profile is called as its folder is",
        'name = "mine"',
    ),
    "a name that no cluster takes": (
        changed("profile.toml", 'namespaces = ["mine"]', 'namespaces = ["My_own"]'),
        "profile.toml:5: profile.namespaces: 'My_own' is no name in a cluster",
        "a-z",
    ),
    "an option of apt-get among the packages": (
        changed("profile.toml", 'namespaces = ["mine"]', 'namespaces = ["mine"]\npackages = ["-oAPT::Status-Fd=1"]'),
        "profile.toml:6: profile.packages: '-oAPT::Status-Fd=1' is not the name of a package",
        "",
    ),
    "an image that no crate would bring": (
        changed("pod.yaml", "registry.example.org/app:1", "registry.example.org/other:1"),
        "pod.yaml: the image registry.example.org/other:1 is not among [[images]]",
        "add [[images]]",
    ),
    "a placeholder of nothing": (
        changed("pod.yaml", "${word}", "${wrod}"),
        "pod.yaml: nothing is called ${wrod}",
        "word?",
    ),
    "a condition on nothing": (
        {**GOOD, "profile.toml": GOOD["profile.toml"] + '[when]\n"pod.yaml" = "wort"\n'},
        "wort is no setting",
        "word?",
    ),
    "a condition for a file that is not there": (
        {**GOOD, "profile.toml": GOOD["profile.toml"] + '[when]\n"pods.yaml" = "word"\n'},
        "there is no pods.yaml beside it",
        "pod.yaml?",
    ),
    "a default that its type cannot take": (
        changed("profile.toml", 'type = "text"', 'type = "number"'),
        "profile.toml:12: settings[1].default: mine: word is a whole number",
        "without quotes",
    ),
    "a key twice in a manifest": (
        changed("pod.yaml", "kind: Pod", "kind: Pod\nkind: Secret"),
        "pod.yaml:2: not YAML: the key kind is there twice",
        "",
    ),
    "a manifest that is no YAML": (changed("pod.yaml", "metadata: {", "metadata: {{"), "pod.yaml:", ""),
    "a document that is no object": (
        changed("pod.yaml", "apiVersion: v1", "apiVersions: v1"),
        "no Kubernetes object",
        "apiVersion",
    ),
    "a chart in no version": (
        {
            **GOOD,
            "profile.toml": GOOD["profile.toml"]
            + '[[charts]]\nname = "a"\nrepository = "https://mirror.example.org"\nversion = "^1"\nnamespace = "a"\n',
        },
        "'^1' is not one version",
        "write it whole",
    ),
    "a chart whose values are not there": (
        {**GOOD, "profile.toml": GOOD["profile.toml"] + '[[charts]]\nname = "traefik"\nvalues = "values.yaml"\n'},
        "values.yaml is not a file of values beside it",
        "",
    ),
}


@pytest.mark.parametrize(("files", "what", "hint"), WRONG.values(), ids=WRONG)
def test_a_profile_that_contradicts_itself_is_named_where_it_does(
    files: Mapping[str, str], what: str, hint: str
) -> None:
    with pytest.raises(ProfileInvalid) as caught:
        parse(files)
    assert what in caught.value.what
    assert hint in caught.value.hint


def test_a_table_cannot_stand_inside_of_text() -> None:
    toml = GOOD["profile.toml"].replace('type = "text"', 'type = "choice"').replace("hello from ${site.domain}", "a")
    found = parse(
        {**changed("pod.yaml", "${word}", "x ${word}"), "profile.toml": f"{toml}[settings.choices]\na = {{}}\n"}
    )
    with pytest.raises(ProfileInvalid, match="stands inside of text"):
        found.render({}, FACTS)


def test_what_a_secret_was_filled_into_is_not_shown_whatever_it_is() -> None:
    chart = '[[charts]]\nname = "traefik"\nvalues = "values.yaml"\n'
    files = {**GOOD, "profile.toml": GOOD["profile.toml"] + chart, "values.yaml": "key: ${secret.key}\n"}
    assert parse(files).render({}, FACTS).secret == {"chart-traefik.yaml"}
    by_default = {**GOOD, "profile.toml": GOOD["profile.toml"].replace("hello from ${site.domain}", "${secret.key}")}
    assert parse(by_default).render({}, FACTS).secret == {"pod.yaml"}
    assert parse(by_default).render({"word": "hello"}, FACTS).secret == frozenset()


def test_an_unknown_profile_is_told_with_the_nearest() -> None:
    with pytest.raises(UnknownProfile) as caught:
        profiles.find("metalb", {"mine": {}})
    assert caught.value.hint == "did you mean metallb?"


def test_a_folder_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="is not a folder"):
        profiles.load(tmp_path / "nothing")
    (tmp_path / "Upper.yaml").write_text("")
    with pytest.raises(ProfileInvalid, match="a cluster takes no file of this name"):
        profiles.load(tmp_path)
