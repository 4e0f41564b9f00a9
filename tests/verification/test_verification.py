"""A whole verification, in a project that stands in for Google's."""

from __future__ import annotations

import pytest

from tests.verification.conftest import FILES, KILLED, Verify
from verification import steps
from verification.order import NAMES

pytestmark = pytest.mark.cloud


def test_a_whole_verification_passes(verify: Verify) -> None:
    done = verify("--kill-workers", update_to="0.1.1")
    assert done.statuses == dict.fromkeys(NAMES, "passed"), done.markdown
    assert done.code == 0
    assert done.report["passed"] is True
    found = {name: done.step(name)["found"] for name in NAMES}
    assert found["uploads"]["statuses"] == {"complete": 7, "partial": 1, "failed": 2}, "good, mixed and bad files"
    assert found["tables"]["load_job"].startswith("dropcast_forecasts_")
    assert set(found["tables"]["codes"]) == {"NO_DATE_COLUMN", "AMBIGUOUS_VALUE_COLUMN", "BAD_NUMBER", "TOO_FEW_ROWS"}
    assert found["kill"]["receipts_before_it"] < KILLED, "something was in progress"
    assert found["kill"]["receipts"] == KILLED
    assert found["duplicates"]["duplicates_counted_by_the_job"] == steps.DUPLICATES
    assert len({found[name]["job"] for name in ("job-runs", "update", "drain", "rollback", "batch")}) == 5
    assert found["batch"]["receipts"] == FILES
    (batch,) = (told for name, told in found["units"].items() if "-backfill " in name)
    assert batch["TotalVcpuTime (vCPU seconds)"] == 720.0, "without what is tentative"
    assert batch["vCPU seconds by the formula"] > 0
    resources = done.report["resources"]
    assert len(resources["jobs"]) == 5
    for kind in ("buckets", "dataset", "topics", "subscription", "state bucket", "uploads", "Terraform addresses"):
        assert resources[kind], kind
    assert not [job for job in done.project.jobs if job.process]
    again = verify("--steps=setup", project=done.project)
    assert again.statuses["setup"] == "passed", "the state that a destroy leaves is no installation"
