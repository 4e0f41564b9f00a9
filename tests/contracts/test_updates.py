from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline import __version__
from tests.contracts import updates
from tests.contracts.generated import ROOT

SNAPSHOT = json.loads((ROOT / "tests/contracts/graph_snapshot.json").read_text())


def rename_step(snapshot: dict[str, Any]) -> None:
    steps = snapshot["streaming"]["steps"]
    steps[steps.index("Forecast/FitAndForecast")] = "Forecast/Fit"


def forget_state(snapshot: dict[str, Any]) -> None:
    snapshot["streaming"]["state"]["WriteForecasts/GatherParts"] = []


def add_field(snapshot: dict[str, Any]) -> None:
    snapshot["fields"]["RequestCoder"].append("owner")


def add_step(snapshot: dict[str, Any]) -> None:
    snapshot["streaming"]["steps"].append("Explain")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (rename_step, ["step Forecast/FitAndForecast is gone"]),
        (forget_state, [f"state {name} of WriteForecasts/GatherParts is gone" for name in ("notes", "parts")]),
        (add_field, ["RequestCoder writes other fields"]),
        (add_step, []),
    ],
)
def test_what_a_running_job_cannot_be_updated_over(
    change: Callable[[dict[str, Any]], None], reason: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    after = copy.deepcopy(SNAPSHOT)
    change(after)
    assert updates.reasons_to_drain(SNAPSHOT, after) == reason
    monkeypatch.setattr(updates, "RELEASED", tmp_path)
    for version in ("0.9.0", "0.10.0"):
        (tmp_path / f"{version}.json").write_text(json.dumps(SNAPSHOT if version == "0.10.0" else after))
    said = updates.verdict(after)
    assert said == (
        f"Running jobs: drain, then start anew ({reason[0]})."
        if reason
        else "Running jobs: update in place from 0.10.0."
    )


def test_the_changelog_says_what_becomes_of_running_jobs() -> None:
    newest = (ROOT / "CHANGELOG.md").read_text().split("\n## ")[1]
    assert newest.startswith(__version__)
    assert updates.verdict(SNAPSHOT) in newest
