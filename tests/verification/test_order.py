"""Which steps run, in what order, and what becomes of those that need a failed one."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from verification import __main__ as program
from verification import units
from verification.books import Options, Run
from verification.order import LAST, NAMES, STEPS, Step, chosen, run_steps
from verification.project import Project
from verification.report import Failed, Report

ROOT = Path(__file__).parents[2]


def verified(tmp_path: Path, *sequence: Step, **options: Any) -> tuple[Report, list[str]]:
    """Run made-up steps."""
    given = Options("acme-data", "0.1.0", "europe-west1", "dropcast-verify", tmp_path / "report", **options)
    project = Project("acme-data", "europe-west1", "dropcast-verify", tmp_path / "commands.log", tmp_path)
    run = Run(given, project, "20260101T000000", tmp_path, begun=True)
    report = Report("acme-data", "europe-west1", "dropcast-verify", "0.1.0", "", "this", "2026-01-01T00:00:00Z")
    told: list[str] = []
    run_steps(run, report, told.append, sequence)
    return report, told


def passes(run: Run) -> dict[str, Any]:
    """Pass."""
    return {"compared": "nothing"}


def fails(run: Run) -> dict[str, Any]:
    """Fail."""
    raise Failed("one", "two", "docs/run-book.md, No job")


def raises(run: Run) -> dict[str, Any]:
    """Raise what nobody expects."""
    raise ConnectionError("reset, with Bearer abc.def")


def test_each_step_comes_after_those_that_it_needs() -> None:
    for position, step in enumerate(STEPS):
        assert set(step.needs) <= set(NAMES[:position]), step.name
        assert step.title, step.name
    assert NAMES[-1] == LAST
    assert len(set(NAMES)) == len(NAMES)


def test_a_failed_step_skips_those_that_need_it_and_no_other(tmp_path: Path) -> None:
    report, told = verified(
        tmp_path,
        Step("setup", passes, (), ""), Step("start", fails, ("setup",), ""), Step("job-runs", passes, ("start",), ""),
        Step("uploads", passes, ("job-runs",), ""), Step("batch", passes, ("setup",), ""), Step(LAST, passes, (), ""),
    )  # fmt: skip
    assert [step.status for step in report.steps] == ["passed", "failed", "skipped", "skipped", "passed", "passed"]
    assert report.steps[2].reason == "needs start, which did not pass"
    assert any("expected one; saw two. Look at docs/run-book.md, No job." in line for line in told)
    assert json.loads((tmp_path / "report/verification.json").read_text())["passed"] is False


def test_an_unexpected_error_is_one_steps_failure(tmp_path: Path) -> None:
    report, _ = verified(tmp_path, Step("setup", raises, (), ""), Step(LAST, passes, (), ""))
    assert [step.status for step in report.steps] == ["failed", "passed"]
    assert report.steps[0].seen.startswith("ConnectionError: reset")
    log = (tmp_path / "commands.log").read_text()
    assert "Traceback" in log
    assert "abc.def" not in log + report.to_json()


def test_everything_is_kept_on_request(tmp_path: Path) -> None:
    failing = (Step("setup", fails, (), ""), Step(LAST, passes, (), ""))
    assert verified(tmp_path, *failing)[0].steps[1].status == "passed"
    kept, _ = verified(tmp_path, *failing, keep_on_failure=True)
    assert kept.steps[1].status == "skipped"
    fine, _ = verified(tmp_path, Step("setup", passes, (), ""), Step(LAST, passes, (), ""), keep_on_failure=True)
    assert fine.steps[1].status == "passed"
    reasons = {step.name: step.skipped(Options("p", "1", "r", "n", tmp_path, keep=True)) for step in STEPS}
    assert reasons[LAST] == "--keep"
    assert reasons["kill"] == "no --kill-workers"
    assert reasons["update"] == reasons["rollback"] == "no --update-to"


def test_a_choice_brings_what_it_needs() -> None:
    assert chosen(()) == set(NAMES)
    assert chosen(("bytes",)) == {"setup", "release", "start", "job-runs", "uploads", "bytes", LAST}


def test_a_dry_run_prints_the_steps_and_does_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "report"
    assert program.main(["--project=acme-data", "--version=0.1.0", "--dry-run", f"--report={report}"]) == 0
    printed = capsys.readouterr().out
    assert all(re.search(rf"^  {name} ", printed, re.MULTILINE) for name in NAMES)
    for name in ("acme-data-dropcast-verify-uploads", "acme-data.dropcast_verify", "dropcast-verify-backfill"):
        assert name in printed
    assert not report.exists()


def test_nothing_is_created_without_a_yes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("builtins.input", lambda _: "y")
    report = tmp_path / "report"
    assert program.main(["--project=acme-data", "--version=0.1.0", f"--report={report}"]) == 2
    assert "Nothing was done." in capsys.readouterr().err
    assert not report.exists()


@pytest.mark.parametrize(
    "wrong", ["--steps=bites", "--batch-files=0", "--deadline=0", "--poll=-1", "--update-to=0.1.0"]
)
def test_wrong_options_are_refused(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["--project=acme-data", "--version=0.1.0", "--yes", wrong]) == 2
    assert wrong.partition("=")[0] in capsys.readouterr().err


# ------------------------------------------------------------------------------------ what must agree


def section() -> str:
    text = (ROOT / "docs/first-run.md").read_text()
    return text.partition("\n## Verify a project with one command\n")[2].partition("\n## ")[0]


def test_each_option_and_each_step_is_documented() -> None:
    options = [action for action in program.parser()._actions if action.option_strings]
    for action in options:
        assert action.help, action
        for name in action.option_strings:
            assert name in ("-h", "--help") or f"`{name}" in section(), name
    for step in NAMES:
        assert f"| `{step}` |" in section(), step
    named = set(re.findall(r"`(--[a-z-]+)", section()))
    assert named <= {name for action in options for name in action.option_strings}


def test_the_documented_cost_is_that_of_the_formulas() -> None:
    stated = re.search(r"about \$(\d+\.\d+)", section())
    assert stated is not None
    assert stated[1] == f"{units.estimate(10_000):.1f}"


def test_failures_name_chapters_that_exist() -> None:
    source = "\n".join(path.read_text() for path in (ROOT / "verification").glob("*.py"))
    named = set(re.findall(r'"(docs/[\w-]+\.md)(?:, ([^"]+))?"', source))
    assert len(named) > 10
    for page, chapter in named:
        assert not chapter or f"\n## {chapter}\n" in (ROOT / page).read_text(), (page, chapter)


def test_the_state_is_where_the_make_targets_and_the_backend_put_it() -> None:
    project = Project("acme-data", "europe-west1", "dropcast-verify", Path("log"), Path("data"))
    assert re.search(r"^STATE = \$\(PROJECT\)-\$\(NAME\)-terraform$", (ROOT / "gcp.mk").read_text(), re.MULTILINE)
    assert project.state_bucket == "acme-data-dropcast-verify-terraform"
    assert 'prefix = "dropcast"' in (ROOT / "terraform/example/backend.tf").read_text()
