"""The local cloud, and projects in it that are verified."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.local_cloud.cloud import LocalCloud
from tests.local_cloud.fixtures import fresh_clients
from tests.verification.stand_ins.project import StandInProject
from verification import __main__ as program
from verification import books, steps

__all__ = ["FILES", "KILLED", "Verified", "Verify", "fresh_clients", "verify"]

FILES, KILLED = 20, 12
_numbers = itertools.count()


@dataclass
class Verified:
    """What came of a verification."""

    code: int
    report: dict[str, Any]
    markdown: str
    project: StandInProject

    def step(self, name: str) -> dict[str, Any]:
        (found,) = (step for step in self.report["steps"] if step["name"] == name)
        return dict(found)

    @property
    def statuses(self) -> dict[str, str]:
        return {step["name"]: step["status"] for step in self.report["steps"]}


Verify = Callable[..., Verified]


@pytest.fixture
def verify(cloud: LocalCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Verify]:
    """Return a function that verifies a new project, or one that it has verified before."""
    projects: list[StandInProject] = []
    monkeypatch.setattr(steps, "KILLED_FILES", KILLED)
    monkeypatch.setattr(steps, "DRAINED_FILES", 4)
    monkeypatch.setattr(steps, "UPDATED_FILES", 2)
    monkeypatch.setattr(books, "SETTLE_SECONDS", 10)

    def run(
        *options: str, fault: str = "", deadline: float = 60, update_to: str = "", project: StandInProject | None = None
    ) -> Verified:
        if project is None:
            project = StandInProject(cloud, f"v{os.getpid()}-{next(_numbers)}", fault).__enter__()
            projects.append(project)
        for name, value in project.environment.items():
            monkeypatch.setenv(name, value)
        report = tmp_path / f"report-{next(_numbers)}"
        code = program.main([
            f"--project={cloud.project}", "--version=0.1.0", f"--name={project.name}", f"--report={report}",
            f"--batch-files={FILES}", f"--deadline={deadline}", "--poll=0.1", "--yes", f"--update-to={update_to}",
            *options,
        ])  # fmt: skip
        written = json.loads((report / "verification.json").read_text())
        return Verified(code, written, (report / "verification.md").read_text(), project)

    yield run
    for project in projects:
        project.__exit__()
