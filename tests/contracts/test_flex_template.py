"""Template metadata, container specs and the image, held against Dataflow's own types and the options."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from google.cloud.dataflow_v1beta3 import types
from google.protobuf import json_format

from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.requests.local_files import OPERATORS_FIELDS
from pipeline.flex_template import KINDS, Kind, container_spec, main, metadata
from pipeline.launch import disk_gb
from pipeline.options import RunOptions
from pipeline.runs import run_from

ROOT = Path(__file__).parents[2]
FILES = {"streaming": "metadata.json", "batch": "metadata_batch.json"}
OUTSIDE = {
    "streaming": {"input_subscription": "projects/acme/subscriptions/uploads"},
    "batch": {"input": "gs://in/*.csv"},
}


def written(kind: Kind) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((ROOT / "templates" / FILES[kind]).read_text())
    return result


@pytest.mark.parametrize("kind", KINDS)
def test_dataflows_own_types_know_every_field(kind: Kind) -> None:
    spec = container_spec(kind, "europe-docker.pkg.dev/acme/dropcast/dropcast:0.1.0")
    message = json_format.Parse(json.dumps(spec), types.ContainerSpec.pb()())  # refuses unknown fields
    assert message.default_environment.sdk_container_image == spec["image"] == message.image
    assert message.sdk_info.language == types.SDKInfo.Language.PYTHON
    assert message.metadata.streaming == (kind == "streaming")
    assert len(message.metadata.parameters) == len(written(kind)["parameters"])
    with pytest.raises(json_format.ParseError):
        broken = json.dumps(spec).replace("isOptional", "optional")
        json_format.Parse(broken, types.ContainerSpec.pb()())


@pytest.mark.parametrize("kind", KINDS)
def test_the_template_has_exactly_the_options(kind: Kind) -> None:
    named = [parameter["name"] for parameter in written(kind)["parameters"]]
    assert len(named) == len(set(named))
    options = set(RunOptions.model_fields) | set(ForecastSpec.model_fields) | set(Limits.model_fields)
    options -= {
        *OPERATORS_FIELDS,
        "input_kafka",
        "kafka_properties",
        "watch",
        {"streaming": "input", "batch": "input_subscription"}[kind],
    }
    assert set(named) == options


@pytest.mark.parametrize("kind", KINDS)
def test_parameters_are_complete_for_a_person(kind: Kind) -> None:
    for parameter in written(kind)["parameters"]:
        assert parameter["helpText"].endswith((".", "]", ")")) or len(parameter["helpText"]) > 20
        assert parameter["label"]
        assert parameter["groupName"]
        for expression in parameter.get("regexes", ()):
            re.compile(expression)
        choices = [option["value"] for option in parameter.get("enumOptions", ())]
        assert (parameter["paramType"] == "ENUM") == bool(choices)
        if choices and "defaultValue" in parameter:
            assert parameter["defaultValue"] in choices
    required = {one["name"] for one in written(kind)["parameters"] if not one.get("isOptional")}
    assert required == {"output", *OUTSIDE[kind]}


@pytest.mark.parametrize("kind", KINDS)
def test_the_defaults_are_those_of_the_pipeline(kind: Kind) -> None:
    given = {one["name"]: one["defaultValue"] for one in written(kind)["parameters"] if "defaultValue" in one}
    arguments = {**given, **OUTSIDE[kind], "output": "gs://out/daily"}
    settings = run_from(arguments, [arguments["input"]] if kind == "batch" else [])
    assert settings.spec == ForecastSpec()
    assert settings.limits == Limits()
    assert settings.destination.batch == (kind == "batch")


@pytest.mark.parametrize("kind", KINDS)
def test_the_regexes_take_what_the_pipeline_takes(kind: Kind) -> None:
    examples = {
        "input_subscription": (["projects/acme/subscriptions/uploads"], ["uploads", "projects/acme/topics/uploads"]),
        "output_topic": (["projects/acme/topics/receipts"], ["receipts"]),
        "dataset": (["acme.forecasts", "acme-1:forecasts"], ["forecasts", "a.b.c"]),
        "partition_expiration_days": (["90"], ["0", "-1", "x"]),
        "output": (["gs://out", "gs://out/daily"], ["out", "s3://out"]),
        "input": (["gs://in/*.csv"], ["in/*.csv"]),
    }
    for parameter in written(kind)["parameters"]:
        good, bad = examples.get(parameter["name"], ([], []))
        for expression in parameter.get("regexes", ()):
            assert all(re.fullmatch(expression, text) for text in good), parameter["name"]
            assert not any(re.fullmatch(expression, text) for text in bad), parameter["name"]


def test_streaming_is_declared_where_it_is_so() -> None:
    assert metadata("streaming")["streaming"] is True
    assert metadata("streaming")["defaultStreamingMode"] == "AT_LEAST_ONCE"
    assert "streaming" not in metadata("batch")


@pytest.mark.parametrize("image", ["acme/dropcast", "acme/dropcast:latest", "registry:5000/dropcast"])
def test_an_image_without_a_version_is_refused(image: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"--image={image}"]) == 2
    assert "has no version" in capsys.readouterr().err


def test_the_spec_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--image=registry:5000/dropcast:0.1.0", "--kind=batch"]) == 0
    assert json.loads(capsys.readouterr().out)["image"] == "registry:5000/dropcast:0.1.0"
    assert main(["--kind=batch"]) == 0
    assert json.loads(capsys.readouterr().out) == written("batch")


def dockerfile() -> str:
    return (ROOT / "Dockerfile").read_text()


def test_the_image_starts_what_is_there() -> None:
    variables = dict(re.findall(r"^\s*(?:ENV )?(FLEX_TEMPLATE_\w+|DROPCAST_\w+)=(\S+)", dockerfile(), re.MULTILINE))
    assert variables["FLEX_TEMPLATE_PYTHON_PY_FILE"].endswith("/flex_main.py")
    assert "FLEX_TEMPLATE_PYTHON_REQUIREMENTS_FILE" not in variables, "it would install everything at each launch"
    assert "FLEX_TEMPLATE_PYTHON_SETUP_FILE" not in variables, "the package is installed"
    source = re.search(r"COPY (\S*flex_main\.py)", dockerfile())
    assert source
    code = (ROOT / source[1]).read_text()
    assert "pipeline.main" in code
    shown = subprocess.run(
        [sys.executable, str(ROOT / source[1]), "--help"], capture_output=True, text=True, cwd="/", check=True
    )
    assert "--input_subscription" in shown.stdout


def test_the_image_is_built_of_exact_versions_from_the_lock() -> None:
    text = dockerfile()
    for base in re.findall(r"^(?:FROM|COPY --from=)\s*(\S+)", text, re.MULTILINE):
        assert ":" in base or "$" in base or base in ("build", "launcher", "beam"), base
        assert not base.endswith(":latest")
    assert "--require-hashes" in text
    assert "pip check" in text
    assert "compile_kernels" in text
    assert "NUMBA_CPU_NAME" in text
    beam = re.search(r"apache/beam_python3\.11_sdk:([\d.]+)", text)
    lock = re.search(r"^apache-beam==([\d.]+)", (ROOT / "requirements-dataflow.lock").read_text(), re.MULTILINE)
    assert beam
    assert lock
    assert beam[1] == lock[1], "the workers' boot program must be that of the Beam that is installed"


def test_the_installed_package_is_what_is_compiled() -> None:
    before, _, after = dockerfile().partition("-m pipeline.core.compile_kernels")
    folders = re.findall(r"^WORKDIR (\S+)", before, re.MULTILINE)
    assert folders[-1] == "/", "beside its source, Python would run the source and keep the kernels there"
    assert after
    assert "--invalidation-mode=unchecked-hash" in before, "layers round the times by which byte code is kept otherwise"


def test_nothing_of_the_developer_goes_into_the_image() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignored[0] == "*", "what goes in is named"
    for wanted in re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile(), re.MULTILINE):
        for name in wanted.split():
            assert any(f"!{name}".startswith(line) for line in ignored if line.startswith("!")), name
    assert (ROOT / "requirements-dataflow.lock").exists()
    modules = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["py-modules"]
    assert {f"{name}.py" for name in modules} <= set(dockerfile().split())


@pytest.mark.parametrize(
    ("machine_type", "bytes_", "gigabytes"),
    [
        (None, 15_000_000_000, 90),
        ("e2-standard-2", 15_000_000_000, 60),
        ("n2d-highmem-16", 1, 46),
        ("custom-4-8192", 1, 34),
    ],
)
def test_a_workers_disk_holds_a_large_file_for_each_process(
    machine_type: str | None, bytes_: int, gigabytes: int
) -> None:
    assert disk_gb(machine_type, Limits(max_work_bytes=bytes_)) == gigabytes
