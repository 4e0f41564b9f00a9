"""POST /forecast of a service that runs as a process of its own, without a cloud."""

from __future__ import annotations

import http.client
import io
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from pipeline import cli
from pipeline.core.errors import RecordError
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.service.forecasts import ARROW, CSV, JSON, media_type_of, spec_asked
from tests.conftest import daily_series

CASES = Path(__file__).parents[1] / "csv_cases"
BAD = "store,date,y\n" + "".join(f"{s},2024-01-{d:02d},{d if s == 'a' else 'x'}\n" for s in "ab" for d in range(1, 29))


def started(folder: Path, *options: str) -> tuple[subprocess.Popen[bytes], str]:
    log = folder / f"serve-{time.monotonic_ns()}.log"
    with log.open("wb") as file:
        process = subprocess.Popen([sys.executable, "-m", "pipeline.cli", "serve", "--port=0", *options], stderr=file)
    deadline = time.monotonic() + 60
    while not (found := re.search(r"http://127\.0\.0\.1:\d+", log.read_text())):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)
    return process, found[0]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    process, url = started(tmp_path_factory.mktemp("serve"), "--max_body_bytes=3000000", "--horizon=5")
    yield url
    process.kill()
    process.wait()


def post(url: str, body: bytes, query: str = "", accept: str = "*/*") -> tuple[int, dict[str, str], bytes]:
    request = urllib.request.Request(f"{url}/forecast{query}", body, {"Accept": accept}, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read()


def test_the_answer_is_the_forecast_that_the_command_writes(service: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(daily_series(60))
    assert cli.main(["forecast", str(path), f"--output={tmp_path}/out", "--horizon=7", "--level=80,95"]) == 0
    status, headers, body = post(service, path.read_bytes(), "?horizon=7&level=80,95")
    assert (status, headers["content-type"].partition(";")[0]) == (200, CSV)
    assert body == (tmp_path / "out/a.csv").read_bytes()
    table = io.BytesIO()
    pd.read_csv(path, parse_dates=[0]).to_parquet(table, index=False)
    assert post(service, table.getvalue(), "?horizon=7&level=80,95")[2] == body
    assert len(post(service, path.read_bytes())[2].splitlines()) == 6, "the operator's horizon"


def test_as_json_and_as_arrow(service: str) -> None:
    content = daily_series(60).encode()
    status, _, body = post(service, content, "?level=80,95&model=auto", JSON)
    told = json.loads(body)
    assert (status, told["series"], told["faults"], len(told["forecasts"])) == (200, 1, [], 10)
    assert {row["confidence_level"] for row in told["forecasts"]} == {0.8, 0.95}
    table = pa.ipc.open_stream(post(service, content, "?level=80,95&model=auto", ARROW)[2]).read_all()
    assert table.column("forecast_value").to_pylist() == [row["forecast_value"] for row in told["forecasts"]]


def test_a_series_that_cannot_be_forecast_is_told(service: str) -> None:
    status, headers, body = post(service, BAD.encode())
    assert (status, headers["dropcast-series"], headers["dropcast-series-failed"]) == (200, "2", "1")
    assert b"\nb," not in body
    (fault,) = json.loads(post(service, BAD.encode(), "", JSON)[2])["faults"]
    assert (fault["series_id"], fault["code"], fault["line"]) == ("b", "BAD_NUMBER", 30)
    assert fault["hint"]


@pytest.mark.parametrize(
    ("body", "query", "accept", "status", "code"),
    [
        (b"", "", CSV, 422, "EMPTY_FILE"), (b"\0\0", "", CSV, 422, "NOT_TEXT"), (b"PAR1", "", CSV, 422, "BAD_PARQUET"),
        (b"date,y\n01/02/2024,5\n", "", CSV, 422, "BAD_DATE_FORMAT"), (b"x", "?horizon=0", CSV, 422, "BAD_MANIFEST"),
        (b"x", "?nonsense=1", CSV, 422, "BAD_MANIFEST"), (b"x", "?models=/etc", CSV, 422, "BAD_MANIFEST"),
        (b"x", "", "text/html", 406, "BAD_MESSAGE"), (b"x" * 3_000_001, "", CSV, 413, "TOO_MANY_BYTES"),
        (b"date,y\n2024-01-01,x\n2024-01-02,y\n2024-01-03,1\n", "", CSV, 422, "BAD_NUMBER"),
    ],
)  # fmt: skip
def test_refusals_are_problems(service: str, body: bytes, query: str, accept: str, status: int, code: str) -> None:
    found, headers, text = post(service, body, query, accept)
    told = json.loads(text)
    assert (found, headers["content-type"], told["code"]) == (status, "application/problem+json", code)
    assert told["detail"]


@pytest.mark.parametrize("case", sorted(path.name for path in CASES.glob("bad_*.csv"))[::9])
def test_bad_files_are_refused_and_never_break_it(service: str, case: str) -> None:
    status, _, text = post(service, (CASES / case).read_bytes())
    assert status == 422 or (status == 200 and case)
    assert status == 200 or json.loads(text)["code"] != "INTERNAL_ERROR"


def test_without_an_output_nothing_can_be_pushed(service: str) -> None:
    request = urllib.request.Request(f"{service}/", b"{}", method="POST")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=60)
    assert refused.value.code == 404


def test_slow_and_broken_clients_cost_no_place(service: str) -> None:
    host, port = service.removeprefix("http://").split(":")
    slow = [socket.create_connection((host, int(port))) for _ in range(50)]
    for connection in slow:
        connection.sendall(b"POST /forecast HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\ndate,y")
    assert post(service, daily_series(60).encode())[0] == 200
    for connection in slow:
        connection.close()
    assert post(service, daily_series(60).encode())[0] == 200
    endless = http.client.HTTPConnection(host, int(port), timeout=60)
    endless.putrequest("POST", "/forecast")
    endless.putheader("Transfer-Encoding", "chunked")
    endless.endheaders()
    for _ in range(5):  # megabytes of a body that never ends
        endless.send(b"100000\r\n" + b"x" * 0x100000 + b"\r\n")
    assert endless.getresponse().status == 413


def test_many_at_once_are_answered_or_told_to_come_again(service: str) -> None:
    content = daily_series(60).encode()
    answers: list[int] = []
    threads = [threading.Thread(target=lambda: answers.append(post(service, content)[0])) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(answers) <= {200, 429}
    assert 200 in answers
    metrics = urllib.request.urlopen(f"{service}/metrics", timeout=60).read().decode()
    assert re.search(r'dropcast_forecasts_total{status="200"} \d', metrics)


def test_it_ends_at_a_signal(tmp_path: Path) -> None:
    process, _ = started(tmp_path)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 0


def test_a_port_that_is_taken_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert cli.main(["serve", f"--port={taken.getsockname()[1]}"]) == 2
    assert "--port" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("accept", "expected"),
    [("", CSV), ("*/*", CSV), ("text/*", CSV), ("text/html, application/json;q=0.9", JSON), (ARROW, ARROW),
     ("image/png", None)],
)  # fmt: skip
def test_the_first_media_type_that_can_be_had(accept: str, expected: str | None) -> None:
    assert media_type_of(accept) == expected


def test_options_of_a_request_come_before_the_operators() -> None:
    operators = ForecastSpec(level=[50], horizon=3)
    found: Any = spec_asked({"quantiles": "0.1,0.9"}, operators)
    assert (found.quantiles, found.horizon) == ((0.1, 0.9), 3)
    with pytest.raises(RecordError, match="save_models"):
        spec_asked({"save_models": "x"}, operators)
