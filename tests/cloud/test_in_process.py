"""Requests that are done in one process, and what a process that dies leaves to whoever gets the message again."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.cloud.first_tries import FirstTries
from pipeline.cloud.in_process import InProcess
from pipeline.cloud.output import BucketOutput
from pipeline.cloud.receipts import BucketReceipts
from pipeline.cloud.tables import Tables
from pipeline.core.limits import Limits
from pipeline.core.requests.messages import Rules
from tests.cloud.conftest import Stage, daily
from tests.cloud.stage_requests import request_for

pytestmark = pytest.mark.cloud
NOTE = "f/a.csv.problem.txt"


class DiedError(BaseException):
    """As if the process had died."""


def dies(*_: Any, **__: Any) -> None:
    raise DiedError


@pytest.fixture
def work(stage: Stage) -> InProcess:
    assert Tables(stage.dataset).prepare(None) == []
    output = BucketOutput(stage.output, stage.dataset, batch=False)
    return InProcess(output, Rules("{}", (), stage.output), Limits())


def test_a_problem_is_noted_before_the_receipt(work: InProcess, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    request = request_for(stage, "a.csv", b"ds,y\n2024-01-01,many\n2024-01-02,few\n")
    with monkeypatch.context() as patch, pytest.raises(DiedError):
        patch.setattr(BucketReceipts, "write", dies)
        work.forecast(request)
    assert stage.names(NOTE) == [NOTE]
    outcome = work.forecast(request)
    assert outcome is not None
    assert outcome.receipts[0].status == "failed"
    assert stage.names(NOTE) == [NOTE]
    assert work.forecast(request) is None, "it is done"


def test_what_a_process_left_that_died_after_the_receipt_is_removed(
    work: InProcess, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = request_for(stage, "a.csv", daily())
    with monkeypatch.context() as patch, pytest.raises(DiedError):
        patch.setattr(FirstTries, "remove", dies)
        work.forecast(request)
    assert any("/first/" in name for name in stage.names("f/_dropcast/work/"))
    assert work.forecast(request) is None
    assert stage.names("f/_dropcast/work/") == []
    assert stage.count("latest_forecasts") == 3


def test_an_older_version_leaves_the_note_about_the_newer_one(work: InProcess, stage: Stage) -> None:
    older = request_for(stage, "a.csv", daily())
    newer = request_for(stage, "a.csv", b"ds,y\n2024-01-01,many\n2024-01-02,few\n")
    assert int(newer.version) > int(older.version)
    assert work.forecast(newer) is not None
    assert stage.names(NOTE) == [NOTE]
    outcome = work.forecast(older)
    assert outcome is not None
    assert outcome.receipts[0].status == "superseded"
    assert stage.names(NOTE) == [NOTE]
