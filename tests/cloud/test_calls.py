"""How many calls to Cloud Storage a small file takes: what docs/cost.md counts with."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from benchmarks import cost_model
from pipeline.cloud import receipts
from pipeline.cloud.output import BucketOutput
from pipeline.cloud.tables import Tables
from pipeline.core.limits import Limits
from pipeline.core.process_request import finish, forecast, load, process, write_block
from pipeline.core.range_sizes import RANGE_BYTES
from tests.cloud.conftest import Stage, daily
from tests.cloud.stage_requests import request_for

pytestmark = pytest.mark.cloud


@pytest.fixture
def calls(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the methods of the calls to Cloud Storage, as they are made."""
    made: list[str] = []
    real = requests.Session.request

    def counted(self: requests.Session, method: str, url: str, *arguments: object, **options: object) -> object:
        if url.startswith(stage.cloud.storage):
            made.append(method)
        return real(self, method, url, *arguments, **options)  # type: ignore[arg-type]

    assert Tables(stage.dataset).prepare(None) == []
    monkeypatch.setattr(requests.Session, "request", counted)
    return made


def elsewhere(step: Callable[..., Any], *arguments: Any) -> Any:
    """Do a step in a thread of its own: what one worker remembers does not help another."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(step, *arguments).result()


def test_the_calls_of_a_small_file_are_those_that_the_costs_are_made_of(
    stage: Stage, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receipts, "RECENT_SECONDS", 0.0)  # as if each step were done elsewhere
    output = BucketOutput(stage.output, stage.dataset, batch=False)
    request = request_for(stage, "a.csv", daily())
    calls.clear()
    (block,) = elsewhere(lambda: list(load(request, Limits(), output, RANGE_BYTES)))
    forecasts = elsewhere(forecast, block, Limits(), output)
    receipt, _ = elsewhere(finish, elsewhere(write_block, forecasts, output), output)
    assert receipt.status == "complete"
    assert calls.count("POST") + 1 == cost_model.FILE_WRITES, "the upload itself among them"
    assert calls.count("GET") == cost_model.FILE_READS
    assert set(calls) <= {"POST", "GET", "DELETE"}


def test_a_process_that_does_all_of_a_file_makes_fewer(
    stage: Stage, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receipts, "RECENT_SECONDS", 1000.0)  # however slow this machine is
    output = BucketOutput(stage.output, stage.dataset, batch=False)
    request = request_for(stage, "a.csv", daily())
    calls.clear()
    assert process(request, Limits(), output)[0].status == "complete"
    # marker, first try, forecast, receipt; is it done, is there a forecast, the file; marker, first try, dead letters
    assert (calls.count("POST"), calls.count("GET"), calls.count("DELETE")) == (4, 3, 3)
