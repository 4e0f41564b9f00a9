"""dropcast replay and reconcile, against buckets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline import cli, main
from pipeline.cloud.output import BucketOutput
from pipeline.core.limits import Limits
from pipeline.core.process_request import process
from tests.cloud.conftest import Stage, daily
from tests.cloud.stage_requests import request_for

pytestmark = pytest.mark.cloud


def pull(stage: Stage) -> list[dict[str, str]]:
    """Return the attributes of all messages that wait."""
    found = []
    with stage.cloud.subscriber() as client:
        while got := client.pull(subscription=stage.subscription, max_messages=100, timeout=30).received_messages:
            client.acknowledge(subscription=stage.subscription, ack_ids=[one.ack_id for one in got])
            found += [dict(one.message.attributes) for one in got]
    return found


def test_reconcile_requests_what_has_no_receipt(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.upload("a/one.csv", daily())
    stage.upload("a/bad.csv", "x,y\n1,2\n")
    reconcile = ["reconcile", f"--input=gs://{stage.uploads}/a/", f"--output={stage.output}"]
    assert cli.main([*reconcile, "--dry_run"]) == 0
    assert "2 requests would be made." in capsys.readouterr().out
    assert stage.receipts() == []
    assert cli.main([*reconcile, "--horizon=3"]) == 3
    assert {row["output"]: row["status"] for row in stage.receipts()} == {
        "a/one.csv": "complete",
        "a/bad.csv": "failed",
    }
    assert cli.main(reconcile) == 0
    assert "0 requests made." in capsys.readouterr().out

    pull(stage)
    stage.upload("a/two.csv", daily(1))
    stage.upload("a/two.manifest.json", json.dumps({"input": "two.csv", "output": "m.csv"}))
    lost = pull(stage)
    assert len(lost) == 2
    topic = f"--topic={stage.topic}"
    assert cli.main([*reconcile, topic]) == 0
    sent = pull(stage)
    wanted = ("eventType", "bucketId", "objectId", "objectGeneration")
    assert sorted([one[name] for name in wanted] for one in sent) == sorted(
        [one[name] for name in wanted] for one in lost
    ), "what is sent is what was lost"
    # with dates it is a backfill
    assert cli.main([*reconcile, "--until=2000-01-01"]) == 0
    assert "0 requests made." in capsys.readouterr().out.splitlines()[-1]


def test_reconcile_makes_the_tables_it_is_the_first_to_write_to(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.upload("good.csv", daily())
    stage.upload("bad.csv", "x,y\n1,2\n")
    reconcile = ["reconcile", f"--input=gs://{stage.uploads}/", f"--output={stage.output}", "--horizon=3"]
    assert cli.main([*reconcile, f"--dataset={stage.dataset}_absent"]) == 2
    assert "does not exist" in capsys.readouterr().err
    assert cli.main([*reconcile, f"--dataset={stage.dataset}"]) == 3
    assert stage.count("latest_forecasts") == 3
    assert stage.count("dead_letters") == 1


def test_again_forecasts_anew_once_for_each_label(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.upload("a.csv", daily())
    reconcile = ["reconcile", f"--input=gs://{stage.uploads}/*.csv", f"--output={stage.output}"]
    assert cli.main([*reconcile, "--horizon=3"]) == 0
    for _ in range(2):
        assert cli.main([*reconcile, "--horizon=5", "--again=release-2"]) == 0
    assert [(row["attempt"], row["id"], row["rows"]) for row in stage.receipts()] in (
        [(0, "", 3), (1, "release-2", 5)],
        [(1, "release-2", 5), (0, "", 3)],
    )
    assert len(stage.object("f/a.csv").download_as_text().splitlines()) == 6


def test_replay_sends_the_next_attempt_once(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.upload("early.manifest.json", json.dumps({"input": "early.csv"}))
    stage.upload("bad.csv", "x,y\n1,2\n")
    options = [f"--output={stage.output}", f"--dataset={stage.dataset}"]
    assert main.main([f"--input=gs://{stage.uploads}/*", "--runner=FnApiRunner", *options]) == 3
    assert "2 requests: 0 complete, 2 failed; 0 series." in capsys.readouterr().out
    assert {letter["code"] for letter in stage.letters()} == {"SOURCE_GONE", "NO_DATE_COLUMN"}
    replay = ["replay", f"--output={stage.output}", "--code=SOURCE_GONE", f"--dataset={stage.dataset}"]
    assert cli.main(replay) == 0
    assert "still missing" in capsys.readouterr().out
    stage.upload("early.csv", daily())
    assert cli.main(replay) == 0
    assert "1 requests and 0 messages replayed." in capsys.readouterr().out
    assert cli.main(replay) == 0
    assert "0 requests and 0 messages replayed." in capsys.readouterr().out
    done = [row for row in stage.receipts() if row["status"] == "complete"]
    assert [(row["attempt"], row["output"]) for row in done] == [(1, "early.csv")]
    assert stage.count("latest_forecasts") == 28


def test_a_message_is_replayed_as_it_was(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    from pipeline.cloud.output import BucketOutput
    from pipeline.core.errors import RecordError
    from pipeline.core.requests.messages import Message, message_letter

    message = Message(b"\xff", {"a": "ü", "topic": "x"}, "1", "2026-01-01T00:00:00Z")
    letter = message_letter(message, RecordError("BAD_MESSAGE", "It is neither.", "Send another."))
    BucketOutput(stage.output, "", batch=False).write_stray_dead_letter(letter)
    replay = ["replay", f"--output={stage.output}", f"--topic={stage.topic}"]
    for _ in range(2):
        assert cli.main(replay) == 0
    assert pull(stage) == [{"a": "ü", "topic": "x"}]


def test_wrong_options_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["reconcile", "--output=gs://out"]) == 2
    assert cli.main(["replay"]) == 2
    assert cli.main(["replay", "--output=here"]) == 2
    assert cli.main(["replay", "--output=gs://out", "--cod=X"]) == 2
    assert cli.main(["replay", "--output=gs://out", "--until=yesterday", "--topic=uploads"]) == 2
    told = capsys.readouterr().err
    assert "--input: is missing" in told
    assert "--output: is missing" in told
    assert "--output: nothing was forecast into here" in told
    assert "did you mean --code?" in told
    assert "--until: must be a time" in told
    assert "--topic: must be projects/PROJECT/topics/NAME" in told


def test_a_watched_bucket_is_forecast_once(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.upload("in/one.csv", daily())
    stage.upload("in/bad.csv", "x,y\n1,2\n")
    stage.upload("in/two.manifest.json", "{")
    watch = ["watch", f"gs://{stage.uploads}/in", stage.output, f"--dataset={stage.dataset}", "--once", "--horizon=3"]
    assert cli.main(watch) == 3
    told = capsys.readouterr().out
    assert "complete  in/one.csv: 1 series (D)" in told
    assert "failed    in/bad.csv" in told
    assert "BAD_MANIFEST" in told
    note = next(name for name in stage.names() if name.endswith("in/bad.csv.problem.txt"))
    assert "NO_DATE_COLUMN" in stage.object(note).download_as_text()
    assert {row["output"]: row["status"] for row in stage.receipts()} == {
        "in/one.csv": "complete",
        "in/bad.csv": "failed",
    }
    assert cli.main(watch) == 0
    assert "bad.csv" not in capsys.readouterr().out
    stage.upload("in/bad.csv", daily(1))
    assert cli.main(watch) == 0
    assert not [name for name in stage.names() if name.endswith(".problem.txt")]


def test_pictures_and_reports_from_buckets(
    stage: Stage, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = "when,sold,left\n" + daily().partition("\n")[2].replace("\n", ",1\n")
    stage.upload("in/one.csv", text)
    stage.upload("in/bad.csv", "x,y\n1,2\n")
    options = ["--value_column=sold", "--date_column=when", "--horizon=7", "--once"]
    assert cli.main(["watch", f"gs://{stage.uploads}/in", stage.output, *options]) == 3
    history, forecast = f"gs://{stage.uploads}/in/one.csv", f"{stage.output}/in/one.csv"
    assert f"-> {stage.output}/in/one.csv" in capsys.readouterr().out
    assert cli.main(["plot", history, forecast]) == 0  # with the options of its receipt
    assert (tmp_path / "one.png").stat().st_size > 10_000
    assert cli.main(["plot", history]) == 2
    assert cli.main(["plot", history, f"{stage.output}/absent.csv"]) == 2
    assert cli.main(["report", stage.output]) == 0
    page = (tmp_path / "report.html").read_text()
    assert '"output":"in/one.csv","status":"complete"' in page
    assert '"code":"UNKNOWN_COLUMN"' in page
    assert page.count('id="block-') >= 1
    assert cli.main(["compare", history, "--value_column=sold", "--date_column=when", "--horizon=7"]) == 0
    assert "1 of 1 series" in capsys.readouterr().out
    assert cli.main(["check", history, "--value_column=sold"]) == 0
    assert cli.main(["report", f"gs://{stage.uploads}/in"]) == 2
    assert "there are no receipts" in capsys.readouterr().err


def test_forecast_between_buckets_without_beam(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.upload("in/one.csv", daily())
    stage.upload("in/bad.csv", "x,y\n1,2\n")
    stage.upload("in/two.manifest.json", "{")
    forecast = ["forecast", f"gs://{stage.uploads}/in/*", f"--output={stage.output}", f"--dataset={stage.dataset}"]
    assert cli.main([*forecast, "--horizon=3"]) == 3
    told = capsys.readouterr()
    assert "complete  in/one.csv: 1 series (D), MASE" in told.out
    assert f"-> {stage.output}/in/one.csv" in told.out
    assert "NO_DATE_COLUMN" in told.out
    assert "BAD_MANIFEST" in told.err
    assert stage.count("latest_forecasts") == 3
    assert cli.main([*forecast, "--horizon=3"]) == 3
    assert "1 already done before" in capsys.readouterr().out
    assert cli.main(["forecast", f"gs://{stage.uploads}/none*", f"--output={stage.output}"]) == 0
    assert "No object matches the input." in capsys.readouterr().out
    assert cli.main(["forecast", "here.csv", f"--output={stage.output}"]) == 2
    assert cli.main(["forecast", f"gs://{stage.uploads}/in/*"]) == 2


def test_reconcile_removes_what_a_killed_run_left_of_a_request_that_is_done(stage: Stage) -> None:
    """It died after the receipt was written, and before the work files were removed."""
    output = BucketOutput(stage.output, "", batch=False)
    done, undone = request_for(stage, "in/done.csv", daily()), request_for(stage, "in/new.csv", daily(1))
    assert process(done, Limits(), output)[0].status == "complete"
    bucket = stage.cloud.storage_client().bucket(stage.out)
    for request in (done, undone):
        bucket.blob(f"f/_dropcast/work/{request.key}/first/000000-x.arrow").upload_from_string(b"left")
    command = ["reconcile", f"--input=gs://{stage.uploads}/in/done.csv", f"--output={stage.output}"]
    assert cli.main([*command, "--dry_run"]) == 0
    assert len(stage.names("f/_dropcast/work/")) == 2
    assert cli.main(command) == 0
    assert stage.names("f/_dropcast/work/") == [f"f/_dropcast/work/{undone.key}/first/000000-x.arrow"]
