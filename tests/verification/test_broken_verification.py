"""What a verification reports if one thing is broken."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.local_cloud.cloud import LocalCloud
from tests.verification.conftest import KILLED, Verify
from tests.verification.stand_ins.project import FAULTS
from verification import steps

pytestmark = pytest.mark.cloud
ROOT = Path(__file__).parents[2]


@dataclass
class Case:
    """What a fault should do.

    Attributes:
        steps: which are asked for.
        failed: the only one that fails.
        passed: those that pass nevertheless.
        skipped: those that cannot be run without it.
        expected, seen: what the report says of it.
        options: more of the program's.
        deadline: in seconds.
        update_to: a version.
    """

    steps: str
    failed: str
    passed: tuple[str, ...]
    expected: str
    seen: str
    skipped: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    deadline: float = 60
    update_to: str = ""


AT_ONCE = {
    "release": Case("start", "release", ("setup", "destroy"), "make .*gcp-release", "FAILURE", ("start",)),
    "apply": Case("release", "setup", ("destroy",), "make .*gcp-setup", "permission denied", ("release",)),
    "start": Case(
        "job-runs,units", "start", ("release", "destroy"), "make .*gcp-run", "quota of CPUs", ("job-runs", "units")
    ),
    "job never runs": Case(
        "uploads,units", "job-runs", ("start", "units", "destroy"), "within 1 s", "JOB_STATE_PENDING", ("uploads",),
        deadline=1,
    ),
    "metrics": Case("units", "units", ("start", "destroy"), "TotalVcpuTime", r"only \[\]", deadline=2),
    "destroy": Case("release", "destroy", ("setup", "release"), "nothing to be left", "bucket .*-uploads"),
}  # fmt: skip
LATER = {
    "other options": Case(
        "uploads,drain", "uploads", ("job-runs", "drain", "destroy"), "'rows': .*as on this machine", "'rows': "
    ),
    "changed byte": Case(
        "bytes,tables", "bytes", ("tables", "destroy"), "same bytes", r"line \d+: .* on this machine"
    ),
    "row counted twice": Case(
        "bytes,tables", "tables", ("bytes", "destroy"), r"rows in latest_forecasts: \d+", r"\d+"
    ),
    "view missing": Case("bytes,tables", "tables", ("bytes", "destroy"), "live_accuracy", "404|[Nn]ot found"),
    "dead letter missing": Case("tables,bytes", "tables", ("bytes", "destroy"), "NO_DATE_COLUMN", r"\[\]"),
    "duplicate forecast twice": Case(
        "duplicates,tables", "duplicates", ("tables", "destroy"), "3 more among the counters", "0 after 0",
        deadline=40,
    ),
    "lost after a kill": Case(
        "kill,drain", "kill", ("drain", "destroy"), f"{KILLED} receipts", "without: .*killed/",
        options=("--kill-workers",), deadline=40,
    ),
    "update": Case(
        "update,rollback,drain", "update", ("drain", "destroy"), "make .*gcp-run", "not compatible", ("rollback",),
        update_to="0.1.1",
    ),
    "rollback": Case(
        "rollback,drain", "rollback", ("update", "drain", "destroy"), "make .*gcp-rollback", "not compatible",
        update_to="0.1.1",
    ),
    "drain": Case("drain,batch", "drain", ("batch", "destroy"), "make .*gcp-drain.*within 40 s", "still running"),
    "batch": Case("batch,units", "batch", ("units", "destroy"), "20 receipts", "19 when .*batch/"),
}  # fmt: skip


def test_each_fault_is_tried() -> None:
    assert {*AT_ONCE, *LATER} == set(FAULTS)


@pytest.mark.parametrize("fault", AT_ONCE)
def test_a_fault_fails_its_step_and_no_other(fault: str, verify: Verify) -> None:
    _one_step_fails(fault, AT_ONCE[fault], verify)


@pytest.mark.long
@pytest.mark.parametrize("fault", LATER)
def test_a_fault_of_the_pipeline_fails_its_step_and_no_other(
    fault: str, verify: Verify, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "APPLY_SECONDS", 40)
    _one_step_fails(fault, LATER[fault], verify)


def _one_step_fails(fault: str, case: Case, verify: Verify) -> None:
    options = (f"--steps={case.steps}", *case.options)
    done = verify(*options, fault=fault, deadline=case.deadline, update_to=case.update_to)
    assert {name for name, status in done.statuses.items() if status == "failed"} == {case.failed}, done.markdown
    assert {name: done.statuses[name] for name in case.passed} == dict.fromkeys(case.passed, "passed"), done.markdown
    assert {name: done.statuses[name] for name in case.skipped} == dict.fromkeys(case.skipped, "skipped")
    assert done.code == 1
    assert done.report["passed"] is False
    failed = done.step(case.failed)
    assert re.search(case.expected, failed["expected"]), failed
    assert re.search(case.seen, failed["seen"]), failed
    page, _, chapter = failed["look_at"].partition(", ")
    assert (ROOT / page).is_file(), page
    assert not chapter or f"\n## {chapter}\n" in (ROOT / page).read_text(), failed["look_at"]
    assert f"## {case.failed} failed" in done.markdown
    assert "**Failed.**" in done.markdown


def test_another_installation_of_the_name_is_left_alone(verify: Verify) -> None:
    kept = verify("--steps=setup", "--keep")
    assert kept.statuses["destroy"] == "skipped"
    assert kept.code == 0
    refused = verify("--steps=release", project=kept.project)
    assert refused.statuses["setup"] == "failed"
    assert refused.step("destroy")["reason"] == "nothing was created"
    assert not [call for call in kept.project.calls if "destroy" in call]
    taken = verify("--steps=release", "--existing", project=kept.project)
    assert (taken.statuses["setup"], taken.statuses["destroy"], taken.code) == ("passed", "passed", 0)


def test_files_of_others_are_never_destroyed(verify: Verify, cloud: LocalCloud) -> None:
    kept = verify("--steps=setup", "--keep")
    bucket = cloud.storage_client().bucket(kept.project.bucket("uploads"))
    bucket.blob("sales.csv").upload_from_string("ds,y\n")
    refused = verify("--steps=release", "--existing", project=kept.project)
    assert refused.statuses["setup"] == "failed"
    assert "sales.csv" in refused.step("setup")["seen"]
    assert refused.statuses["destroy"] == "skipped"
    assert bucket.blob("sales.csv").exists()


def test_a_failure_may_keep_everything_for_a_look(verify: Verify) -> None:
    kept = verify("--steps=start", "--keep-on-failure", fault="release")
    assert kept.statuses["release"] == "failed"
    assert kept.statuses["destroy"] == "skipped"
    assert "keep-on-failure" in kept.step("destroy")["reason"]
    assert kept.report["resources"]["buckets"], "it says what is left"


def test_a_release_that_exists_is_not_built(verify: Verify) -> None:
    kept = verify("--steps=release", "--keep")
    assert kept.statuses["release"] == "passed"
    calls = len(kept.project.calls)
    again = verify("--steps=release", "--existing", "--released", project=kept.project)
    assert again.statuses["release"] == "passed"
    assert not [call for call in kept.project.calls[calls:] if "builds submit" in call]
