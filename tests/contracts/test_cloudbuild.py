"""The scripts of cloudbuild.yaml, run with stand-ins for docker and gcloud."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REPOSITORY = "europe-docker.pkg.dev/acme/dropcast"
DIGEST = f"{REPOSITORY}/dropcast@sha256:{'0' * 64}"


def script(step: str, workspace: Path) -> str:
    """Return the script of a step, with its substitutions made as Cloud Build makes them."""
    text = (ROOT / "cloudbuild.yaml").read_text()
    found = re.search(rf"- id: {step}\n(?:    .*\n)*?      - \|\n((?:        .*\n)+)", text)
    assert found is not None, step
    lines = re.sub("^        ", "", found[1], flags=re.MULTILINE)
    given = {"_REPOSITORY": REPOSITORY, "_VERSION": "0.1.0", "_SEVERITY": "CRITICAL|HIGH", "COMMIT_SHA": "c0ffee"}
    for name, value in given.items():
        lines = lines.replace(f"${{{name}}}", value)
    return lines.replace("$$", "$").replace("/workspace", str(workspace))


def run(step: str, workspace: Path, **commands: str) -> subprocess.CompletedProcess[str]:
    """Run a step whose commands print what is given."""
    programs = workspace / "bin"
    programs.mkdir()
    for name, printed in commands.items():
        (programs / name).write_text(f'#!/bin/sh\necho {name} "$@" >> {workspace}/calls\n{printed}\n')
        (programs / name).chmod(0o755)
    path = f"{programs}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-c", script(step, workspace)],
        env={"PATH": path},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("findings", "code"),
    [("LOW\\tTrue\\nCRITICAL\\tFalse", 0), ("MEDIUM\\tTrue\\nHIGH\\tTrue", 1), ("CRITICAL\\tTrue", 1), ("", 0)],
)
def test_the_scan_fails_on_what_can_be_fixed(findings: str, code: int, tmp_path: Path) -> None:
    done = run("scan", tmp_path, gcloud=f"printf '{findings}\\n'")
    assert done.returncode == code, done.stderr


def test_the_specs_name_the_image_by_the_digest_that_was_pushed(tmp_path: Path) -> None:
    assert run("push", tmp_path, docker=f'[ "$1" = inspect ] && echo {DIGEST}').returncode == 0
    assert "docker push --all-tags europe-docker.pkg.dev/acme/dropcast/dropcast" in (tmp_path / "calls").read_text()
    assert (tmp_path / "image").read_text().strip() == DIGEST
    assert '--image="$(cat ' in script("specs", tmp_path)


def test_a_release_is_built_on_bases_named_by_digest(tmp_path: Path) -> None:
    inspect = 'for image; do :; done; [ "$1" = inspect ] && echo "${image%:*}@sha256:$(printf %064d 7)"'
    assert run("bases", tmp_path, docker=f"{inspect}; true").returncode == 0
    digest = f"@sha256:{7:064d}"
    bases = {
        "PYTHON": f"python{digest}",
        "BEAM": f"apache/beam_python3.11_sdk{digest}",
        "LAUNCHER": f"gcr.io/dataflow-templates-base/python311-template-launcher-base{digest}",
    }
    assert (tmp_path / "bases").read_text().splitlines() == [f"{name}={image}" for name, image in bases.items()]
    pulled = [line.split()[-1] for line in (tmp_path / "calls").read_text().splitlines() if " pull " in line]
    assert [image.partition(":")[0] for image in pulled] == [image.partition("@")[0] for image in bases.values()]
    (tmp_path / "bin").rename(tmp_path / "before")
    (tmp_path / "calls").unlink()
    assert run("image", tmp_path, docker="").returncode == 0
    (built,) = (tmp_path / "calls").read_text().splitlines()
    given = dict(part.removeprefix("--build-arg=").split("=", 1) for part in built.split() if "build-arg" in part)
    assert bases.items() <= given.items()
    assert given["REVISION"] == "c0ffee"
    assert all(image in built.partition("--build-arg=BASES=")[2] for image in bases.values()), "kept in a label"


def test_a_base_that_cannot_be_pulled_ends_the_release(tmp_path: Path) -> None:
    assert run("bases", tmp_path, docker='[ "$1" != pull ]').returncode == 1
