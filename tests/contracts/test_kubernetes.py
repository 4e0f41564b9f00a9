"""kubernetes/: against Kubernetes' own schemas, and against what the service takes and offers."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from pipeline.commands import parsed
from pipeline.commands.serve import _open_doors, parser
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.service.app import make_app
from pipeline.service.desk import OnRequest
from tests.contracts.generated import ROOT

BASE = ROOT / "kubernetes/base"
KINDS = {
    "ServiceAccount", "Deployment", "Service", "Ingress", "HorizontalPodAutoscaler", "PodDisruptionBudget",
    "NetworkPolicy",
}  # fmt: skip
VERSIONS = ("1.30", "1.33", "1.36")


def documents(text: str) -> dict[str, dict[str, Any]]:
    """Return resources by kind."""
    found = [one for one in yaml.safe_load_all(text) if one and one["kind"] != "Kustomization"]
    assert len({one["kind"] for one in found}) == len(found)
    return {one["kind"]: one for one in found}


def base() -> dict[str, dict[str, Any]]:
    return documents("\n---\n".join(path.read_text() for path in sorted(BASE.glob("*.yaml"))))


def container(resources: dict[str, dict[str, Any]]) -> dict[str, Any]:
    (found,) = resources["Deployment"]["spec"]["template"]["spec"]["containers"]
    return dict(found)


@pytest.mark.parametrize("version", VERSIONS)
def test_each_resource_is_one_of_kubernetes(version: str) -> None:
    resources = base()
    assert resources.keys() == KINDS
    for resource in resources.values():
        assert kubernetes_validate.validate(resource, version, strict=True) == version


def test_the_schemas_are_looked_at() -> None:
    wrong = base()["Deployment"]
    container({"Deployment": wrong})["resources"]["limit"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[0], strict=True)


def test_the_kustomization_has_every_file() -> None:
    listed = yaml.safe_load((BASE / "kustomization.yaml").read_text())["resources"]
    assert sorted(listed) == sorted(path.name for path in BASE.glob("*.yaml") if path.name != "kustomization.yaml")


def test_they_refer_to_each_other() -> None:
    resources = base()
    labels = resources["Deployment"]["spec"]["template"]["metadata"]["labels"]
    for selector in (
        resources["Deployment"]["spec"]["selector"]["matchLabels"], resources["Service"]["spec"]["selector"],
        resources["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        resources["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
    ):  # fmt: skip
        assert selector.items() <= labels.items()
    target = resources["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", resources["Deployment"]["metadata"]["name"])
    (port,) = container(resources)["ports"]
    (served,) = resources["Service"]["spec"]["ports"]
    (rule,) = resources["Ingress"]["spec"]["rules"]
    backend = rule["http"]["paths"][0]["backend"]["service"]
    assert served["targetPort"] == port["name"]
    assert backend == {"name": resources["Service"]["metadata"]["name"], "port": {"name": served["name"]}}
    assert resources["NetworkPolicy"]["spec"]["ingress"][0]["ports"] == [{"protocol": "TCP", "port": 8080}]
    pod = resources["Deployment"]["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == resources["ServiceAccount"]["metadata"]["name"]
    mounts = {mount["name"] for mount in container(resources)["volumeMounts"]}
    assert mounts == {volume["name"] for volume in pod["volumes"]}


def test_it_scales_and_stays() -> None:
    resources = base()
    scaling = resources["HorizontalPodAutoscaler"]["spec"]
    assert (scaling["minReplicas"], scaling["maxReplicas"]) == (2, 5)
    assert scaling["metrics"][0]["resource"] == {
        "name": "cpu",
        "target": {"type": "Utilization", "averageUtilization": 80},
    }
    assert resources["PodDisruptionBudget"]["spec"]["minAvailable"] == 1 < scaling["minReplicas"]
    assert "replicas" not in resources["Deployment"]["spec"], "an apply would undo what the autoscaler set"
    assert container(resources)["resources"]["requests"]["cpu"], "utilisation is a share of it"


def test_it_may_do_nothing_but_serve() -> None:
    pod = base()["Deployment"]["spec"]["template"]["spec"]
    own = container(base())
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not pod["automountServiceAccountToken"]
    assert own["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}
    }  # fmt: skip
    written = {variable["value"].split("/")[1] for variable in own["env"]}
    assert written == {"tmp"}
    assert {mount["mountPath"] for mount in own["volumeMounts"] if not mount.get("readOnly")} == {"/tmp"}


def test_what_is_asked_of_the_service_it_has() -> None:
    resources = base()
    own = container(resources)
    routes = make_app(OnRequest(ForecastSpec(), Limits()), None).openapi()["paths"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert "get" in routes[own[probe]["httpGet"]["path"]]
    assert resources["Deployment"]["spec"]["template"]["metadata"]["annotations"]["prometheus.io/path"] in routes
    arguments = serve_arguments(own["args"])
    assert arguments["port"] == str(own["ports"][0]["containerPort"])
    grace = resources["Deployment"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace > float(arguments["max_push_seconds"]) + 10, "what was begun could not be finished"


def serve_arguments(arguments: list[str]) -> dict[str, Any]:
    """Return the options of dropcast serve; whoever may reach it from elsewhere needs a key or a token."""
    assert arguments[0] == "serve"
    found = parsed(parser(), arguments[1:])
    assert _open_doors(found) == []
    return found


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
@pytest.mark.parametrize("folder", ["base", "example"])
def test_they_are_put_together(folder: str, tmp_path: Path) -> None:
    done = subprocess.run(
        ["kubectl", "kustomize", str(ROOT / "kubernetes" / folder)], capture_output=True, text=True, check=True,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(tmp_path)},
    )  # fmt: skip
    resources = documents(done.stdout)
    assert resources.keys() == KINDS
    for resource in resources.values():
        kubernetes_validate.validate(resource, VERSIONS[-1], strict=True)
        assert "acme" not in str(resource) or folder == "example"
        assert folder == "base" or ("PROJECT" not in str(resource) and "example.com" not in str(resource))
    arguments = serve_arguments(container(resources)["args"])
    assert bool(arguments["output"]) == (folder == "example")
