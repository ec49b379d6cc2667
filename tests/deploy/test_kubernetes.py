"""The manifests: Kubernetes' own schemas take them, and they fit the miner, each other, and good manners."""

from __future__ import annotations

import re
from typing import Any

import pytest
from deploy_kit import DEPLOY, documents
from starlette.routing import Route

from miner.app import DRAIN_S
from miner.page import create_page
from miner.plan.report import reckon
from miner.settings import load

FOLDER = DEPLOY / "kubernetes"
FILES = sorted(path for path in FOLDER.glob("*.yaml") if path.name != "kustomization.yaml")
OBJECTS = {
    f"{path.stem}/{each['kind']}/{each['metadata']['name']}": each
    for path in FILES
    for each in documents(path)
}
CUSTOM = ("ServiceMonitor",)
"""Kinds of an operator: Kubernetes itself has no schema of them."""
TEMPLATES = {
    key: each["spec"]["template"] for key, each in OBJECTS.items() if "template" in each.get("spec", {})
}
CONTAINERS = [(key, each) for key, pod in TEMPLATES.items() for each in pod["spec"]["containers"]]


def one(kind: str, name: str) -> dict[str, Any]:
    (found,) = (e for e in OBJECTS.values() if e["kind"] == kind and e["metadata"]["name"] == name)
    return found


@pytest.mark.parametrize("key", [key for key, each in OBJECTS.items() if each["kind"] not in CUSTOM])
def test_kubernetes_takes_it(key):
    validator = pytest.importorskip("kubernetes_validate")
    validator.validate(OBJECTS[key], validator.latest_version(), strict=True)


@pytest.mark.parametrize(("key", "container"), CONTAINERS, ids=[key for key, _ in CONTAINERS])
def test_a_container_is_pinned_bounded_probed_and_without_privileges(key, container):
    name, _, tag = container["image"].rpartition(":")
    assert name and re.search(r"\d", tag), "an image is pinned"
    assert {"cpu", "memory"} <= set(container["resources"]["requests"])
    assert "memory" in container["resources"]["limits"]
    assert {"livenessProbe", "readinessProbe"} <= set(container)
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    pod = TEMPLATES[key]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] > 0
    assert {each["name"] for each in container["volumeMounts"]} <= _volumes(key)
    named = {each["name"] for each in container["ports"]}
    assert {container[probe]["httpGet"]["port"] for probe in container if probe.endswith("Probe")} <= named


def _volumes(key: str) -> set[str]:
    claims = OBJECTS[key]["spec"].get("volumeClaimTemplates", [])
    volumes = TEMPLATES[key]["spec"]["volumes"]
    return {each["name"] for each in volumes} | {each["metadata"]["name"] for each in claims}


def miner_container() -> dict[str, Any]:
    return one("Deployment", "streetvision-miner")["spec"]["template"]["spec"]["containers"][0]


def settings_of_the_pod() -> Any:
    return load([], dict(one("ConfigMap", "streetvision-miner")["data"]))


def test_the_probes_ask_for_what_the_miner_serves():
    app = create_page(dict, bytes, list)
    served = {route.path for route in app.routes if isinstance(route, Route)}
    probes = [miner_container()[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")]
    assert {probe["path"] for probe in probes} == {"/health/live", "/health/ready"} <= served
    (endpoint,) = one("ServiceMonitor", "streetvision-miner")["spec"]["endpoints"]
    assert endpoint["path"] in served


def test_the_settings_are_understood_and_the_ports_are_theirs():
    settings = settings_of_the_pod()
    ports = {each["name"]: each["containerPort"] for each in miner_container()["ports"]}
    assert ports == {"axon": settings.axon.port, "page": settings.page.port}
    (mount,) = (each for each in miner_container()["volumeMounts"] if each["name"] == "hotkey")
    assert mount["mountPath"] == f"/wallets/{settings.wallet.name}/hotkeys" and mount["readOnly"]
    secret = one("Deployment", "streetvision-miner")["spec"]["template"]["spec"]["volumes"][1]["secret"]
    assert [item["path"] for item in secret["items"]] == [settings.wallet.hotkey]


def test_one_hotkey_is_one_pod_that_ends_before_the_next_begins():
    spec = one("Deployment", "streetvision-miner")["spec"]
    assert spec["replicas"] == 1 and spec["strategy"] == {"type": "Recreate"}
    assert spec["template"]["spec"]["terminationGracePeriodSeconds"] >= 2 * DRAIN_S


def selectors() -> list[tuple[str, dict[str, str]]]:
    kinds = ("Service", "PodDisruptionBudget", "Deployment", "StatefulSet")
    found = {key: each["spec"]["selector"] for key, each in OBJECTS.items() if each["kind"] in kinds}
    return [(key, selector.get("matchLabels", selector)) for key, selector in found.items()]


@pytest.mark.parametrize(("key", "wanted"), selectors(), ids=[key for key, _ in selectors()])
def test_a_selector_finds_pods(key, wanted):
    labels = [pod["metadata"]["labels"] for pod in TEMPLATES.values()]
    assert any(wanted.items() <= found.items() for found in labels)


def test_services_lead_to_ports_that_are_open():
    for key, each in OBJECTS.items():
        if each["kind"] != "Service":
            continue
        pods = [
            p
            for p in TEMPLATES.values()
            if each["spec"]["selector"].items() <= p["metadata"]["labels"].items()
        ]
        open_ports = {port["name"] for pod in pods for c in pod["spec"]["containers"] for port in c["ports"]}
        assert {port["targetPort"] for port in each["spec"]["ports"]} <= open_ports, key


def test_the_autoscaler_turns_our_metric_into_servers():
    import exposition

    spec = one("HorizontalPodAutoscaler", "sglang")["spec"]
    (metric,) = (each["object"] for each in spec["metrics"])
    assert metric["metric"]["name"] in exposition.names()
    assert one("Service", metric["describedObject"]["name"])
    target = spec["scaleTargetRef"]
    assert one(target["kind"], target["name"])["spec"]["replicas"] == spec["minReplicas"]


def test_the_servers_flags_are_what_the_plan_proposes():
    (launch,) = reckon("1xH100-80", None, ["qwen3-vl-8b:fp8"]).launches
    flags = list(launch.argv[2:])
    proposed = {f"{name}={value}" for name, value in zip(flags[::2], flags[1::2], strict=True)}
    container = one("StatefulSet", "sglang")["spec"]["template"]["spec"]["containers"][0]
    ours = set(container["args"])
    assert ours - proposed == {"--host=0.0.0.0"} and proposed - ours == {"--host=127.0.0.1"}


def test_the_router_may_look_for_pods_and_no_more():
    (rule,) = one("Role", "sglang-router")["rules"]
    assert rule["resources"] == ["pods"] and set(rule["verbs"]) == {"get", "list", "watch"}
    router = one("Deployment", "sglang-router")["spec"]["template"]["spec"]["containers"][0]
    assert "--selector=app=sglang" in router["args"]
    assert one("StatefulSet", "sglang")["spec"]["template"]["metadata"]["labels"]["app"] == "sglang"


def test_kustomize_lists_files_that_exist():
    (listed,) = documents(FOLDER / "kustomization.yaml")
    text = (FOLDER / "kustomization.yaml").read_text()
    assert listed["resources"] == ["miner.yaml"]
    assert {path.name for path in FILES} == set(
        re.findall(r"- (?:# )?(\w+\.yaml)", text.replace("# - ", "- "))
    )


def test_the_monitor_finds_the_page_and_gives_the_job_that_rules_ask_for():
    spec = one("ServiceMonitor", "streetvision-miner")["spec"]
    page = one("Service", "streetvision-page")
    assert spec["selector"]["matchLabels"].items() <= page["metadata"]["labels"].items()
    assert page["metadata"]["labels"][spec["jobLabel"]] == "streetvision-miner"
