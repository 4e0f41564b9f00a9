"""Whole runs of the DAG by dag.test(): real operators, hooks and clients, answered at the boundary of HTTP."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.google.cloud.hooks.dataflow import AsyncDataflowHook
from conftest import CONF, FakeGoogle
from google.cloud.dataflow_v1beta3 import JobState, types
from google.protobuf import json_format

Run = Callable[..., dict[str, str]]
DAY = "gs://uploads/sales/2026-01-{:02}/"


@pytest.fixture
def run(dag: Any, google: FakeGoogle, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the DAG; return the state of each task's instances, and of the run as `run`."""
    for name in dag.task_ids:
        monkeypatch.setattr(dag.get_task(name), "retries", 0)  # dag.test() would sit out the pauses

    def go(**conf: Any) -> dict[str, str]:
        # all of them: dag.test() leaves a run's values in the DAG, which a worker loads anew for each task
        others = {"options": {}, "allow_empty": False, "allow_partial": False, "alert_conn_id": None}
        done = dag.test(run_conf={**CONF, **others, **conf})
        states = {
            f"{ti.task_id}{'' if ti.map_index < 0 else f'[{ti.map_index}]'}": str(ti.state)
            for ti in done.get_task_instances()
        }
        return {**states, "run": str(done.state)}

    return go


def forecasts_all(google: FakeGoogle) -> Callable[[dict[str, Any]], None]:
    """Return a job that forecasts every file of its input."""

    def job(body: dict[str, Any]) -> None:
        begin = body["launchParameter"]["parameters"]["input"].partition("*")[0]
        for uri, (generation, _) in google.objects.items():
            if uri.startswith(begin):
                google.receipt(uri, generation=generation)

    return job


def test_each_day_is_forecast_and_checked(run: Run, google: FakeGoogle) -> None:
    google.upload(DAY.format(1) + "a.csv", DAY.format(1) + "b.csv", DAY.format(2) + "a.csv")
    google.does = forecasts_all(google)
    # braces in an option are text, not a template of Airflow's
    options = {"horizon": 7, "date_format": "{{ params.name }}"}
    states = run(end_date="2026-01-02", options=options)
    assert set(states.values()) == {"success"}
    assert len(states) == 1 + 2 * 3 + 1
    for body in google.launched:
        json_format.Parse(json.dumps(body), types.LaunchFlexTemplateRequest.pb()())
    launched = [body["launchParameter"] for body in google.launched]
    assert [one["parameters"]["input"] for one in launched] == [DAY.format(1) + "*.csv", DAY.format(2) + "*.csv"]
    assert {one["parameters"]["date_format"] for one in launched} == {"{{ params.name }}"}
    names = [one["jobName"] for one in launched]

    google.launched.clear()
    states = run(end_date="2026-01-02", options=options)
    assert google.launched == [], "what is done stays done, and costs no job"
    assert states["day.forecast[0]"] == "skipped"
    assert states["run"] == states["day.check[0]"] == "success"

    google.upload(DAY.format(2) + "late.csv")
    run(end_date="2026-01-02", options=options)
    assert [body["launchParameter"]["jobName"] for body in google.launched] == names[1:], "the same name again"


def test_bad_files_fail_the_day_and_are_named(run: Run, google: FakeGoogle, caplog: pytest.LogCaptureFixture) -> None:
    day = DAY.format(1)
    google.upload(*(f"{day}{name}.csv" for name in ("bad", "good", "lost", "some")), DAY.format(2) + "a.csv")

    def job(body: dict[str, Any]) -> None:
        if "01-02" in body["launchParameter"]["parameters"]["input"]:
            return google.receipt(DAY.format(2) + "a.csv")
        google.receipt(day + "good.csv")
        google.receipt(day + "bad.csv", "failed", code="NO_DATE_COLUMN")
        google.letter(day + "bad.csv", "file", "NO_DATE_COLUMN")
        google.receipt(day + "some.csv", "partial", series_failed=2)
        google.letter(day + "some.csv", "series", "BAD_NUMBER", series_id="a")
        google.letter(day + "some.csv", "series", "BAD_NUMBER", series_id="b")

    google.does = job
    with caplog.at_level(logging.ERROR):
        states = run(end_date="2026-01-02")
    assert states["day.check[0]"] == "failed"
    assert states["day.check[1]"] == "success", "a bad day does not stop a good one"
    assert states["run"] == "failed"
    [alert] = [one.getMessage() for one in caplog.records if one.getMessage().startswith("dropcast_backfill manual")]
    assert "3 of 4 files" in alert
    assert f"{day}bad.csv: failed NO_DATE_COLUMN: NO_DATE_COLUMN (1): What NO_DATE_COLUMN means. Fix it." in alert
    assert f"{day}lost.csv: missing: no receipt for generation 1" in alert
    assert f"{day}some.csv: partial BAD_NUMBER: 2 of 3 series failed; BAD_NUMBER (2): " in alert
    assert "good.csv" not in alert


def test_partial_may_be_allowed_and_is_not_done_again(run: Run, google: FakeGoogle) -> None:
    google.upload(DAY.format(1) + "a.csv")
    google.receipt(DAY.format(1) + "a.csv", "partial", series_failed=1)
    assert run(allow_partial=True)["run"] == "success"
    assert run()["run"] == "failed"
    assert google.launched == []


def test_a_day_without_files_fails_unless_it_may(run: Run, google: FakeGoogle) -> None:
    google.upload(DAY.format(1) + "a.txt")
    states = run()
    assert states["day.forecast[0]"] == "skipped"
    assert states["run"] == "failed"
    assert run(allow_empty=True)["run"] == "success"
    assert google.launched == []


def test_a_range_that_is_none_starts_nothing(run: Run, google: FakeGoogle) -> None:
    states = run(start_date="2026-01-02")
    assert states["plan"] == states["run"] == "failed"
    assert google.launched == []


@pytest.mark.parametrize("ended", [JobState.JOB_STATE_FAILED, JobState.JOB_STATE_CANCELLED])
def test_a_job_that_failed_or_was_cancelled_is_told_by_its_files(run: Run, google: FakeGoogle, ended: Any) -> None:
    google.upload(DAY.format(1) + "a.csv")
    google.ended = ended
    states = run()
    assert states["day.forecast[0]"] == "failed"
    assert states["day.check[0]"] == "failed"


def test_a_job_that_runs_already_is_waited_for(run: Run, google: FakeGoogle, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[str] = []

    async def status(self: Any, job_id: str, **_: Any) -> JobState:
        waited.append(job_id)
        return JobState.JOB_STATE_DONE

    monkeypatch.setattr(AsyncDataflowHook, "get_job_status", status)
    google.upload(DAY.format(1) + "a.csv")
    google.does = lambda body: google.active.update({body["launchParameter"]["jobName"]: "the-first"})
    run()  # its answer was lost, say, and it runs on
    waited.clear()
    states = run()
    assert len(google.launched) == 2
    assert waited == ["the-first"], "Dataflow refused the second with 409"
    assert states["day.forecast[0]"] == "success"


def test_the_alert_is_posted_to_the_webhook_of_a_connection(
    run: Run, google: FakeGoogle, backfill: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    posted: list[tuple[str, dict[str, str]]] = []
    monkeypatch.setattr(backfill, "post", lambda url, content: posted.append((url, content)))
    hook = {"conn_type": "http", "password": "https://chat.example/hook?token=t"}
    monkeypatch.setenv("AIRFLOW_CONN_CHAT", json.dumps(hook))
    google.upload(DAY.format(1) + "a.csv")
    run(alert_conn_id="chat")
    [(url, content)] = posted
    assert url == "https://chat.example/hook?token=t"
    assert f"{DAY.format(1)}a.csv: missing" in content["text"]

    # a webhook that is not there does not hide the failure
    assert run(alert_conn_id="nowhere")["run"] == "failed"
    assert "could not be posted to connection nowhere" in caplog.text
