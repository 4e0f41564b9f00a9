"""Terraform, make targets and their docs, held against the pipeline and each other; no cloud, no provider."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from pipeline.cloud.tables import CLUSTER, PARTITION
from pipeline.core.tables import TABLES, VIEWS

ROOT = Path(__file__).parents[2]
MODULE = ROOT / "terraform/modules/dropcast"
HCL = "\n".join(path.read_text() for path in sorted(MODULE.glob("*.tf")))


def test_the_tables_are_the_pipelines() -> None:
    found = re.findall(r"^    (\w+)\s+= \{ partition = (\S+), cluster = (\[.*?\]) \}", HCL, re.MULTILINE)
    partitions = {name: json.loads(partition) for name, partition, _ in found if partition != "null"}
    assert {name for name, _, _ in found} == set(TABLES)
    assert partitions == PARTITION
    assert {name: json.loads(cluster) for name, _, cluster in found} == CLUSTER
    views = re.search(r"views = (\[.*?\])", HCL)
    assert views
    assert tuple(json.loads(views[1])) == VIEWS


def test_the_job_gives_only_parameters_that_the_template_has() -> None:
    named = {
        parameter["name"] for parameter in json.loads((ROOT / "templates/metadata.json").read_text())["parameters"]
    }
    block = re.search(r"parameters = merge\(var\.options, \{(.*?)\}\)", HCL, re.DOTALL)
    assert block
    given = set(re.findall(r"^\s+(\w+)\s+=", block[1], re.MULTILINE)) | {"input_subscription"}
    assert given <= named
    example = re.search(r"options\s+= \{(.*?)\}", (ROOT / "terraform/example/main.tf").read_text())
    assert example
    assert set(re.findall(r"(\w+) =", example[1])) <= named


def test_every_role_is_in_the_docs_and_every_role_of_the_docs_is_granted() -> None:
    granted = set(re.findall(r"roles/[\w.]+", HCL))
    documented = set(re.findall(r"roles/[\w.]+", (ROOT / "docs/google-cloud.md").read_text()))
    assert granted == documented
    assert not granted & {"roles/owner", "roles/editor", "roles/storage.admin", "roles/bigquery.admin"}


def test_alerts_name_chapters_that_exist() -> None:
    for name, chapter in re.findall(r"(docs/[\w-]+\.md), ([^.\"]+)\.\"", HCL):
        assert f"## {chapter}" in (ROOT / name).read_text()


TARGETS = {
    "gcp-setup": ["terraform -chdir=terraform/example apply", "gcloud services enable"],
    "gcp-release": ["gcloud builds submit", "_VERSION=0.1.0"],
    "gcp-run": ["-var=template_version=0.1.0"],
    "gcp-rollback": ["-var=template_version=0.1.0"],
    "gcp-backfill": ["flex-template run", "templates/0.1.0/batch.json", "input=gs://in/*.csv"],
    "gcp-drain": ["terraform -chdir=terraform/example apply"],
    "gcp-load-test": ["demo/load_test.py", "--uploads=100"],
    "gcp-destroy": ["terraform -chdir=terraform/example destroy"],
}


@pytest.mark.parametrize("target", TARGETS)
def test_each_make_target_tells_what_it_would_do(target: str) -> None:
    given = ["DRY_RUN=1", "PROJECT=acme-data", "VERSION=0.1.0", "INPUT=gs://in/*.csv"]
    done = subprocess.run(["make", "--no-print-directory", target, *given], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for told in TARGETS[target]:
        assert told in done.stdout
    without = subprocess.run(["make", target, "DRY_RUN=1", "PROJECT="], cwd=ROOT, capture_output=True, text=True)
    assert without.returncode == 2
    assert "PROJECT is missing" in without.stdout


def test_the_targets_are_documented() -> None:
    text = (ROOT / "docs/google-cloud.md").read_text() + (ROOT / "docs/run-book.md").read_text()
    text += (ROOT / "docs/first-run.md").read_text() + (ROOT / "gcp.mk").read_text()
    assert all(f"make {target}" in text for target in TARGETS if target != "gcp-rollback")


@pytest.mark.cloud
def test_the_module_does_what_its_own_tests_say(tmp_path: Path) -> None:
    if not shutil.which("terraform"):
        pytest.skip("Terraform is not installed")
    for name in ("terraform", "templates"):
        shutil.copytree(ROOT / name, tmp_path / name)
    module = tmp_path / "terraform/modules/dropcast"
    environment = {**os.environ, "TF_IN_AUTOMATION": "1"}

    def terraform(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["terraform", *arguments, "-no-color"], cwd=module, env=environment, capture_output=True, text=True
        )

    if terraform("init").returncode:
        pytest.skip("the google provider cannot be had: name a mirror in TF_CLI_CONFIG_FILE")
    for arguments in (("validate",), ("test",)):
        done = terraform(*arguments)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    formatted = subprocess.run(["terraform", "fmt", "-check", "-recursive", str(ROOT / "terraform")], check=False)
    assert formatted.returncode == 0
