"""How many calls to Cloud Storage a small file takes: what docs/cost.md counts with."""

from __future__ import annotations

import pytest
import requests

from benchmarks import cost_model
from pipeline.cloud import receipts
from pipeline.cloud.output import BucketOutput
from pipeline.cloud.tables import Tables
from pipeline.core.limits import Limits
from pipeline.core.process_request import process
from tests.cloud.conftest import Stage, daily
from tests.cloud.stage_requests import request_for

pytestmark = pytest.mark.cloud


def test_the_calls_of_a_small_file_are_those_that_the_costs_are_made_of(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receipts, "RECENT_SECONDS", 0.0)  # as if each step were done elsewhere
    assert Tables(stage.dataset).prepare(None) == []
    output = BucketOutput(stage.output, stage.dataset, batch=False)
    request = request_for(stage, "a.csv", daily())
    calls: list[str] = []
    real = requests.Session.request

    def counted(self: requests.Session, method: str, url: str, *arguments: object, **options: object) -> object:
        if url.startswith(stage.cloud.storage):
            calls.append(method)
        return real(self, method, url, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(requests.Session, "request", counted)
    assert process(request, Limits(), output)[0].status == "complete"
    assert calls.count("POST") + 1 == cost_model.FILE_WRITES, "the upload itself among them"
    assert calls.count("GET") == cost_model.FILE_READS
    assert set(calls) <= {"POST", "GET", "DELETE"}
