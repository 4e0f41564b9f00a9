"""Terraform, make targets and their docs, held against the pipeline and each other; no cloud, no account."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.cloud.dataflow_v1beta3 import types
from google.protobuf import json_format

from pipeline.cloud.tables import CLUSTER, PARTITION
from pipeline.commands import parsed, serve
from pipeline.core.outputs.tables import TABLES, VIEWS
from pipeline.options import spec_from
from pipeline.runs import BucketRun, run_from
from tests.downloads import Unavailable, required
from tests.terraform_provider.install import cli_config

ROOT = Path(__file__).parents[2]
MODULE = ROOT / "terraform/modules/dropcast"
HCL = "\n".join(path.read_text() for path in sorted(MODULE.glob("*.tf")))


def test_the_tables_are_the_pipelines() -> None:
    found = re.findall(r"^    (\w+)\s+= \{ partition = (\S+), cluster = (\[.*?\]) \}", HCL, re.MULTILINE)
    partitions = {name: json.loads(partition) for name, partition, _ in found if partition != "null"}
    assert {name for name, _, _ in found} == set(TABLES)
    assert partitions == PARTITION
    assert {name: json.loads(cluster) for name, _, cluster in found} == CLUSTER
    views = re.search(r"^  views += (\[.*?\])", HCL, re.MULTILINE)
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
    granted = set(re.findall(r"\"(roles/[\w.]+)\"", HCL))
    documented = set(re.findall(r"roles/[\w.]+", (ROOT / "docs/google-cloud.md").read_text()))
    assert granted == documented
    assert not granted & {"roles/owner", "roles/editor", "roles/storage.admin", "roles/bigquery.admin"}


def test_alerts_name_chapters_that_exist() -> None:
    hints = re.findall(r"(?:hint|content) += \"(.*)\"", (MODULE / "alerts.tf").read_text())
    named = [chapter for hint in hints for chapter in re.findall(r"(docs/[\w-]+\.md), ([^.]+)\.$", hint)]
    assert len(named) == len(hints) > 6
    for name, chapter in named:
        assert f"## {chapter}\n" in (ROOT / name).read_text()


def test_every_alert_is_explained() -> None:
    titles = re.findall(r"title +=\s*\"(.*)\"", (MODULE / "alerts.tf").read_text())
    titles += re.findall(r"display_name += \"\$\{var\.name\}: ([a-z ]+)\"", (MODULE / "alerts.tf").read_text())
    titles.remove("alerts")  # the channel
    book = (ROOT / "docs/run-book.md").read_text()
    assert len(titles) == 14
    for title in titles:
        assert f"| {title} |" in book, title


EMAIL = "data@acme.example"
TARGETS = {
    "gcp-setup": [
        "terraform -chdir=terraform/example apply",
        "gcloud services enable",
        "cloudscheduler.googleapis.com",
        EMAIL,
        "email.auto.tfvars",
    ],
    "gcp-release": ["gcloud builds submit", "_VERSION=0.1.0"],
    "gcp-run": ["-var=template_version=0.1.0"],
    "gcp-rollback": ["-var=template_version=0.1.0"],
    "gcp-backfill": ["flex-template run", "templates/0.1.0/batch.json", "input=gs://in/*.csv"],
    "gcp-drain": ["terraform -chdir=terraform/example apply"],
    "gcp-load-test": ["demo/load_test.py", "--uploads=100"],
    "gcp-destroy": ["terraform -chdir=terraform/example destroy"],
    "gcp-verify": ["-m verification --project=acme-data --version=0.1.0"],
}


def dry_run(target: str) -> str:
    given = ["DRY_RUN=1", "PROJECT=acme-data", "VERSION=0.1.0", "INPUT=gs://in/*.csv", "UPLOADS=100"]
    given += [f"EMAIL={EMAIL}"]
    done = subprocess.run(["make", "--no-print-directory", target, *given], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("target", TARGETS)
def test_each_make_target_tells_what_it_would_do(target: str) -> None:
    said = dry_run(target)
    for told in TARGETS[target]:
        assert told in said
    without = subprocess.run(["make", target, "DRY_RUN=1", "PROJECT="], cwd=ROOT, capture_output=True, text=True)
    assert without.returncode == 2
    assert "PROJECT is missing" in without.stdout


@pytest.mark.parametrize("target", ["gcp-setup", "gcp-run", "gcp-drain", "gcp-destroy"])
def test_terraform_asks_first_unless_it_is_told_not_to(target: str) -> None:
    assert "-auto-approve" not in dry_run(target)
    command = ["make", "--no-print-directory", target, "DRY_RUN=1", "PROJECT=acme-data", "VERSION=0.1.0", "AUTO=1"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for line in said.splitlines():
        assert ("-input=false -auto-approve" in line) == (" apply " in line or " destroy " in line), line


def test_a_verification_has_a_name_of_its_own_unless_it_is_given_one() -> None:
    assert "--name" not in dry_run("gcp-verify")
    command = ["make", "--no-print-directory", "gcp-verify", "DRY_RUN=1", "PROJECT=acme-data", "VERSION=0.1.0"]
    more = ["NAME=other", "RELEASED=1", "VERIFY=--keep --yes"]
    said = subprocess.run([*command, *more], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "--name=other --released --keep --yes" in said


def test_a_backfill_has_the_streams_options(tmp_path: Path) -> None:
    said = {"launch_flags": "--max-workers=5 --disable-public-ips", "launch_parameters": "history=true~level=80,95"}
    for name, script in {
        "terraform": "\n".join(f"case $* in *{output}) echo '{value}';; esac" for output, value in said.items()),
        "gcloud": 'printf "[%s]\\n" "$@"',
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    command = ["make", "-s", "gcp-backfill", "PROJECT=acme-data", "VERSION=0.1.0", "INPUT=gs://in/*.csv"]
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert "[--max-workers=5]\n[--disable-public-ips]\n" in done.stdout
    assert "[--parameters=^~^input=gs://in/*.csv~history=true~level=80,95]\n" in done.stdout


def test_the_targets_are_documented() -> None:
    text = (ROOT / "docs/google-cloud.md").read_text() + (ROOT / "docs/run-book.md").read_text()
    text += (ROOT / "docs/first-run.md").read_text() + (ROOT / "gcp.mk").read_text()
    assert all(f"make {target}" in text for target in TARGETS if target != "gcp-rollback")


# ------------------------------------------------------------------------------- with Terraform, without an account

Run = Callable[..., str]


@pytest.fixture(scope="module")
def terraform(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run Terraform in a folder of a copy of the repository, with providers that know their schema only."""
    if not shutil.which("terraform"):
        pytest.skip("Terraform is not installed")
    try:
        environment = {**os.environ, "TF_CLI_CONFIG_FILE": str(cli_config()), "TF_IN_AUTOMATION": "1"}
    except Unavailable as error:
        if required("DROPCAST_REQUIRE_TERRAFORM"):
            raise
        pytest.skip(str(error))
    copy = tmp_path_factory.mktemp("terraform")
    made = shutil.ignore_patterns(".terraform*", "*.tfstate*", "*.tfvars")
    for name in ("terraform", "templates"):
        shutil.copytree(ROOT / name, copy / name, ignore=made)

    def run(folder: str, *arguments: str) -> str:
        command = ["terraform", f"-chdir={copy / 'terraform' / folder}", *arguments, "-no-color"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    for folder in FOLDERS:
        run(folder, "init", "-input=false", "-backend=false")
    return run


FOLDERS = ("modules/dropcast", "example", "existing")


@pytest.mark.terraform
@pytest.mark.parametrize("folder", FOLDERS)
def test_terraform_finds_no_fault(terraform: Run, folder: str) -> None:
    terraform(folder, "validate")
    terraform(folder, "test")
    terraform(folder, "fmt", "-check", "-recursive")


@pytest.fixture(scope="module")
def example(terraform: Run) -> dict[str, Any]:
    """Return the state of the whole example, made with made-up answers."""
    lines = [json.loads(line) for line in terraform("example", "test", "-json", "-verbose").splitlines()]
    (state,) = (line["test_state"] for line in lines if line["type"] == "test_state")
    return dict(state)


def resources(example: dict[str, Any], *types: str) -> list[dict[str, Any]]:
    (module,) = example["root_module"]["child_modules"]
    return [one["values"] for one in module["resources"] if one["type"] in types]


@pytest.mark.terraform
def test_the_nightly_launch_is_what_dataflow_takes(example: dict[str, Any]) -> None:
    (job,) = resources(example, "google_cloud_scheduler_job")
    (target,) = job["http_target"]
    body = json.loads(base64.b64decode(target["body"]))
    asked = types.LaunchFlexTemplateRequest.pb()()
    json_format.ParseDict(body, asked)  # refuses unknown fields
    assert re.fullmatch(r".*/projects/acme-data/locations/europe-west1/flexTemplates:launch", target["uri"])
    launch = asked.launch_parameter
    assert launch.job_name == "dropcast-nightly"
    assert launch.container_spec_gcs_path == "gs://acme-data-dropcast-temp/templates/0.1.0/batch.json"
    assert launch.environment.ip_configuration == types.WorkerIPAddressConfiguration.WORKER_IP_PRIVATE
    assert settings_of(dict(launch.parameters), "metadata_batch.json").destination.batch


@pytest.mark.terraform
def test_the_job_is_given_what_the_template_takes(example: dict[str, Any]) -> None:
    (job,) = resources(example, "google_dataflow_flex_template_job")
    settings = settings_of(job["parameters"], "metadata.json")
    assert settings.subscription == "projects/acme-data/subscriptions/dropcast-uploads"


def settings_of(parameters: dict[str, str], metadata: str) -> BucketRun:
    """Hold parameters against a template's metadata, as Dataflow does, and return what the pipeline makes of them."""
    described = json.loads((ROOT / "templates" / metadata).read_text())["parameters"]
    for parameter in described:
        given = parameters.get(parameter["name"])
        assert given is not None or parameter.get("isOptional"), parameter["name"]
        assert given is None or all(re.fullmatch(regex, given) for regex in parameter.get("regexes", ())), given
    assert set(parameters) <= {parameter["name"] for parameter in described}
    settings = run_from(parameters, [parameters["input"]] if "input" in parameters else [])
    assert isinstance(settings, BucketRun)
    assert settings.prefixes == ("gs://acme-data-dropcast-uploads/", "bigquery:acme-web.events")
    return settings


@pytest.mark.terraform
def test_the_service_is_given_what_it_takes(example: dict[str, Any]) -> None:
    (service,) = resources(example, "google_cloud_run_v2_service")
    (container,) = service["template"][0]["containers"]
    assert container["image"] == "europe-west1-docker.pkg.dev/acme-data/dropcast/dropcast:0.1.0"
    assert container["command"] == ["dropcast"]
    command, *arguments = container["args"]
    options = parsed(serve.parser(), arguments)
    assert (command, options["port"]) == ("serve", str(container["ports"][0]["container_port"]))
    assert options["output"] == "gs://acme-data-dropcast-forecasts/daily"
    assert options["output_topic"] == "projects/acme-data/topics/dropcast-receipts"
    assert serve._open_doors(options) == []
    _, _, problems = spec_from(options)
    assert problems == []


@pytest.mark.terraform
def test_the_make_targets_name_what_the_module_makes(example: dict[str, Any]) -> None:
    outputs = example["outputs"]["dropcast"]["value"]
    told = dry_run("gcp-release") + dry_run("gcp-backfill") + dry_run("gcp-load-test")
    builder = outputs["service_accounts"]["builder"]
    for name in (outputs["templates"], f"_REPOSITORY={outputs['repository']}", f"{outputs['temp']}/source", builder):
        assert f"{name}" in told
    assert f"--bucket={outputs['uploads'].removeprefix('gs://').rstrip('/')} " in told
    assert {"launch_flags", "launch_parameters"} <= set(example["outputs"])


@pytest.mark.terraform
def test_the_table_of_permissions_is_what_is_granted(example: dict[str, Any]) -> None:
    rows = re.findall(r"^\| ([^|]+) \| (`roles/.+?) \|", (ROOT / "docs/google-cloud.md").read_text(), re.MULTILINE)
    documented = sorted((account, role) for account, roles in rows for role in re.findall(r"roles/[\w.]+", roles))
    grants = resources(example, *{f"google_{kind}_iam_member" for kind in (
        "project", "storage_bucket", "pubsub_subscription", "pubsub_topic", "bigquery_dataset", "service_account",
        "artifact_registry_repository", "kms_crypto_key", "cloud_run_v2_service",
    )})  # fmt: skip
    accounts = {f"serviceAccount:dropcast-{name}@acme-data.iam.gserviceaccount.com": name for name in NAMES}
    accounts["serviceAccount:composer@acme-composer.iam.gserviceaccount.com"] = "Airflow"
    accounts["group:analysts@acme.example"] = "callers"
    granted = [(accounts.get(one["member"], "agents"), one["role"]) for one in grants]
    agents = [one for one in granted if one[0] == "agents"]
    named = set(accounts.values())
    assert sorted(one for one in granted if one[0] != "agents") == [one for one in documented if one[0] in named]
    assert {role for _, role in agents} == {role for account, role in documented if account not in named}


NAMES = ("worker", "launcher", "builder", "service", "pusher")


def test_what_gcloud_uploads_is_what_git_tracks() -> None:
    """Without this file gcloud would also leave out what only git's own settings exclude, or upload .git."""
    lines = (ROOT / ".gcloudignore").read_text().splitlines()
    assert ".git" in lines
    assert "#!include:.gitignore" in lines
    tracked = {"Dockerfile", "requirements-dataflow.lock", "templates"}
    assert not tracked & set(lines)


@pytest.mark.parametrize(
    "job", ["dropcast", "dropcast-nightly", "dropcast-backfill", "dropcast-backfill-20260101-0a1b2c3d"]
)
def test_alerts_are_about_every_job(job: str) -> None:
    text = (ROOT / "terraform/modules/dropcast/alerts.tf").read_text()
    pattern = re.search(r'full_match\(\\"(.*?)\\"\)', text)
    assert pattern is not None
    assert re.fullmatch(pattern[1].replace("${var.name}", "dropcast"), job)
    assert not re.fullmatch(pattern[1].replace("${var.name}", "dropcast"), "dropcast2")
