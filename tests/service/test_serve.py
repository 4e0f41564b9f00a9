"""dropcast serve as a process of its own, pushed to over HTTP."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline import cli
from pipeline.cloud.objects import live_version
from pipeline.core.requests.messages import Message, message_of
from tests.cloud.conftest import Stage, daily

pytestmark = pytest.mark.cloud


class Service:
    """A service that runs for one test."""

    def __init__(self, stage: Stage, *options: str, **environment: str) -> None:
        self.stage = stage
        self.log = Path(stage.cloud.root) / f"serve-{time.monotonic_ns()}.log"
        command = [sys.executable, "-m", "pipeline.cli", "serve", "--port=0", f"--output={stage.output}",
                   f"--dataset={stage.dataset}", *options]  # fmt: skip
        with self.log.open("wb") as file:
            self.process = subprocess.Popen(command, env={**os.environ, **environment}, stderr=file)
        self.url = self._address()

    def _address(self) -> str:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            found = re.search(r"http://127\.0\.0\.1:\d+", self.log.read_text())
            if found:
                return found[0]
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.02)
        raise AssertionError(self.log.read_text())

    def get(self, path: str) -> str:
        with urllib.request.urlopen(self.url + path, timeout=60) as answer:
            return str(answer.read().decode())

    def post(self, body: bytes, **headers: str) -> tuple[int, str]:
        request = urllib.request.Request(
            f"{self.url}/", body, {"Content-Type": "application/json", **headers}, method="POST"
        )
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def push(self, message: Message) -> int:
        data = base64.b64encode(message.data).decode()
        envelope = {"message": {"data": data, "attributes": dict(message.attributes), "messageId": message.message_id,
                                "publishTime": message.publish_time}}  # fmt: skip
        return self.post(json.dumps(envelope).encode())[0]

    def uploaded(self, name: str) -> Message:
        version = live_version(self.stage.uri(name))
        assert version is not None
        return message_of(version)

    def counted(self, outcome: str) -> float:
        found = re.search(rf'dropcast_pushes_total{{outcome="{outcome}"}} ([\d.]+)', self.get("/metrics"))
        return float(found[1]) if found else 0.0


@pytest.fixture
def serve(stage: Stage) -> Iterator[Callable[..., Service]]:
    services: list[Service] = []

    def start(*options: str, **environment: str) -> Service:
        services.append(Service(stage, *options, **environment))
        return services[-1]

    yield start
    for service in services:
        service.process.kill()
        service.process.wait()


def test_a_pushed_file_has_what_the_pipeline_gives_it(stage: Stage, serve: Callable[..., Service]) -> None:
    service = serve()
    assert service.get("/healthz") == "ok\n"
    assert service.get("/readyz") == "ready\n"
    stage.upload("a.csv", daily())
    stage.upload("bad.csv", "a,b\n1,2\n")
    stage.upload("x.manifest.json", json.dumps({"input": "a.csv", "output": "m.csv", "horizon": 5}))
    for name in ("a.csv", "bad.csv", "x.manifest.json"):
        assert service.push(service.uploaded(name)) == 204
    assert service.push(service.uploaded("a.csv")) == 204, "delivered again"
    assert service.push(Message(b"neither", {}, "9", "")) == 204, "nor does it say when it was published"
    assert service.push(Message(b"", {"eventType": "OBJECT_DELETE", "bucketId": "b"}, "10", "")) == 204
    receipts = {row["output"]: (row["status"], row["code"], row["rows"]) for row in stage.receipts()}
    assert receipts == {
        "a.csv": ("complete", "", 28), "m.csv": ("complete", "", 5), "bad.csv": ("failed", "NO_DATE_COLUMN", 0)
    }  # fmt: skip
    assert stage.count("latest_forecasts") == 33
    assert sorted(letter["code"] for letter in stage.letters()) == ["BAD_MESSAGE", "NO_DATE_COLUMN"]
    for outcome, number in {"complete": 2, "failed": 1, "duplicate": 1, "refused": 1, "ignored": 1}.items():
        assert service.counted(outcome) == number, outcome
    generation = stage.object("f/a.csv").generation
    stage.run()  # service and pipeline serve one bucket at once
    stage.publish(**message_of(live_version(stage.uri("a.csv"))).attributes)  # type: ignore[arg-type]
    stage.upload("later.csv", daily(2))
    stage.wait("the pipeline's receipt", lambda: len(stage.receipts()) == 4)
    assert stage.object("f/a.csv").generation == generation


def test_what_is_no_push_is_refused(serve: Callable[..., Service]) -> None:
    service = serve()
    status, body = service.post(b"{}")
    assert (status, json.loads(body)["code"]) == (400, "BAD_MESSAGE")
    assert service.post(b"[" * (17 << 20))[0] == 413
    schema = json.loads(service.get("/openapi.json"))
    assert {"/", "/forecast", "/check", "/healthz", "/readyz", "/metrics"} == set(schema["paths"])
    assert set(schema["paths"]["/"]["post"]["responses"]) >= {"204", "400", "413", "429", "503"}


def test_a_file_too_large_for_a_push_is_refused_or_left(stage: Stage, serve: Callable[..., Service]) -> None:
    stage.upload("a.csv", daily())
    leaving = serve("--max_push_bytes=100", "--leave_large")
    assert leaving.push(leaving.uploaded("a.csv")) == 204
    assert (stage.receipts(), leaving.counted("left")) == ([], 1)
    service = serve("--max_push_bytes=100")
    assert service.push(service.uploaded("a.csv")) == 204
    (letter,) = stage.letters()
    assert (letter["code"], "pipeline" in letter["hint"]) == ("TOO_LARGE", True)
    assert [row["status"] for row in stage.receipts()] == ["failed"]


def test_a_request_that_takes_too_long_is_given_up(stage: Stage, serve: Callable[..., Service]) -> None:
    rows = "".join(f"{s},2024-{1 + d // 28:02d}-{1 + d % 28:02d},{s + d % 7}\n" for s in range(3000) for d in range(60))
    stage.upload("many.csv", "store,ds,y\n" + rows)
    service = serve("--max_push_seconds=1", "--model=auto")
    assert service.push(service.uploaded("many.csv")) == 204
    (letter,) = stage.letters()
    assert letter["code"] == "TOO_SLOW"
    assert stage.object("f/many.csv") is None
    assert stage.count("forecasts") == 0


def test_no_more_than_may_be_are_worked_on(stage: Stage, serve: Callable[..., Service]) -> None:
    rows = "".join(f"{s},2024-{1 + d // 28:02d}-{1 + d % 28:02d},{s + d % 7}\n" for s in range(2000) for d in range(60))
    for number in range(4):
        stage.upload(f"many{number}.csv", f"store,ds,y\n{rows}")
    service = serve("--at_once=1")
    messages = [service.uploaded(f"many{number}.csv") for number in range(4)]
    answers: list[int] = []
    threads = [threading.Thread(target=lambda m=message: answers.append(service.push(m))) for message in messages]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(set(answers)) == [204, 429]
    for message in messages:
        while service.push(message) != 204:
            pass
    assert len(stage.receipts()) == 4
    assert stage.count("latest_forecasts") == 4 * 2000 * 28


def test_killed_in_mid_work_and_pushed_again(stage: Stage, serve: Callable[..., Service]) -> None:
    rows = "".join(f"{s},2024-{1 + d // 28:02d}-{1 + d % 28:02d},{s + d % 7}\n" for s in range(3000) for d in range(60))
    stage.upload("many.csv", "store,ds,y\n" + rows)
    first = serve()
    message = first.uploaded("many.csv")
    answer: list[Any] = []

    def push() -> None:
        try:
            answer.append(first.push(message))
        except OSError as error:
            answer.append(error)

    thread = threading.Thread(target=push)
    thread.start()
    stage.wait("work files", lambda: any("_dropcast/work" in name for name in stage.names("f/_dropcast/")))
    first.process.send_signal(signal.SIGKILL)
    thread.join()
    assert isinstance(answer[0], OSError)
    assert stage.receipts() == []
    second = serve()
    assert second.push(message) == 204
    assert [row["status"] for row in stage.receipts()] == ["complete"]
    assert stage.count("latest_forecasts") == 3000 * 28


def test_it_ends_when_what_it_works_on_is_done(stage: Stage, serve: Callable[..., Service]) -> None:
    rows = "".join(f"{s},2024-{1 + d // 28:02d}-{1 + d % 28:02d},{s + d % 7}\n" for s in range(3000) for d in range(60))
    stage.upload("many.csv", "store,ds,y\n" + rows)
    service = serve()
    message = service.uploaded("many.csv")
    answer: list[int] = []
    thread = threading.Thread(target=lambda: answer.append(service.push(message)))
    thread.start()
    stage.wait("work files", lambda: any("_dropcast/work" in name for name in stage.names("f/_dropcast/")))
    service.process.send_signal(signal.SIGTERM)
    thread.join()
    assert answer == [204]
    assert service.process.wait(timeout=60) == 0
    assert [row["status"] for row in stage.receipts()] == ["complete"]


def test_logs_have_the_trace(stage: Stage, serve: Callable[..., Service]) -> None:
    service = serve()
    stage.upload("a.csv", daily())
    message = service.uploaded("a.csv")
    envelope = {"message": {"data": "", "attributes": dict(message.attributes), "messageId": "7"}}
    trace = "0af7651916cd43dd8448eb211c80319c"
    assert service.post(json.dumps(envelope).encode(), traceparent=f"00-{trace}-b7ad6b7169203331-01")[0] == 204
    lines = [json.loads(line) for line in service.log.read_text().splitlines() if line.startswith("{")]
    (told,) = [line for line in lines if line.get("status") == "complete"]
    assert told["logging.googleapis.com/trace"] == f"projects/{stage.cloud.project}/traces/{trace}"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--output=out"], "--output: must be gs://"), (["--dataset=a.b"], "--dataset: works only with --output"),
        (["--output=gs://o/f", "--host=0.0.0.0"], "--behind_iam"),
        (["--output=gs://o/f", "--port=x"], "--port"),
        (["--output=gs://o/f", "--at_once=0"], "--at_once"),
        (["--output=gs://o/f", "--max_push_seconds=601"], "--max_push"),
        (["--output=gs://o/f", "--horizon=0"], "--horizon"), (["--output=gs://o/f", "--nonsense"], "--nonsense"),
    ],
)  # fmt: skip
def test_wrong_options_are_named(options: list[str], problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["serve", *options]) == 2
    assert problem in capsys.readouterr().err


def test_receipts_are_published(stage: Stage, serve: Callable[..., Service]) -> None:
    topic = stage.cloud.create_topic(stage.out)
    subscription = stage.cloud.create_subscription(f"{stage.out}-receipts", stage.out)
    service = serve(f"--output_topic={topic}")
    stage.upload("a.csv", daily())
    stage.upload("bad.csv", "a,b\n1,2\n")
    assert [service.push(service.uploaded(name)) for name in ("a.csv", "bad.csv", "a.csv")] == [204, 204, 204]
    told = [json.loads(message.data) for message in received(stage, subscription, 3)]
    assert sorted((one["output"], one["status"]) for one in told) == [
        ("a.csv", "complete"), ("a.csv", "complete"), ("bad.csv", "failed")]  # fmt: skip
    assert told[0]["request_key"]


def received(stage: Stage, subscription: str, count: int) -> list[Any]:
    found: list[Any] = []
    with stage.cloud.subscriber() as client:
        while len(found) < count:
            answer = client.pull(subscription=subscription, max_messages=10, timeout=60)
            found += [one.message for one in answer.received_messages]
            client.acknowledge(subscription=subscription, ack_ids=[one.ack_id for one in answer.received_messages])
    return found
