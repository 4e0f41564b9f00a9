"""POST /forecast of a service that runs as a process of its own, without a cloud."""

from __future__ import annotations

import datetime as dt
import gzip
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
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import cli
from pipeline.core.errors import RecordError
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.service.answers import media_type_of
from pipeline.service.bodies import ARROW, CSV, JSON, PARQUET
from pipeline.service.forecasts import spec_asked
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


def post(
    url: str, body: bytes, query: str = "", accept: str = "*/*", kind: str = ""
) -> tuple[int, dict[str, str], bytes]:
    return send(f"{url}/forecast{query}", body, Accept=accept, **{"Content-Type": kind} if kind else {})


def send(url: str, body: bytes, **headers: str) -> tuple[int, dict[str, str], bytes]:
    request = urllib.request.Request(url, body, headers, method="POST")
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


def test_as_json_arrow_and_parquet(service: str) -> None:
    content = daily_series(60).encode()
    status, _, body = post(service, content, "?level=80,95&model=auto", JSON)
    told = json.loads(body)
    assert (status, told["series"], told["faults"], len(told["forecasts"])) == (200, 1, [], 5)
    assert list(told["forecasts"][0]) == [
        "date", "prediction", "prediction_lower_80", "prediction_upper_80", "prediction_lower_95",
        "prediction_upper_95"]  # fmt: skip
    assert told["forecasts"][0]["date"] == "2024-03-01"
    columns = json.loads(post(service, content, "?level=80,95&model=auto&orient=columns", JSON)[2])["forecasts"]
    assert columns["prediction"] == [row["prediction"] for row in told["forecasts"]]
    arrow = pa.ipc.open_stream(post(service, content, "?level=80,95&model=auto", ARROW)[2]).read_all()
    assert arrow.column("prediction").to_pylist() == columns["prediction"]
    assert pq.read_table(io.BytesIO(post(service, content, "?level=80,95&model=auto", PARQUET)[2])).equals(arrow)


def test_what_is_sent_in_any_format_is_forecast_alike(service: str) -> None:
    content = "unique_id,ds,y\n" + "".join(f"a,{line}\n" for line in daily_series(60).splitlines()[1:])
    frame = pd.read_csv(io.StringIO(content))
    _, _, expected = post(service, content.encode(), "?horizon=3&names=nixtla", JSON)
    assert len(json.loads(expected)["forecasts"]) == 3
    records, columns = frame.to_dict("records"), frame.to_dict("list")
    table = pa.Table.from_pandas(frame, preserve_index=False)
    stream, parquet = pa.BufferOutputStream(), io.BytesIO()
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    pq.write_table(table, parquet)
    for body, kind in (
        (json.dumps(records).encode(), JSON), (json.dumps({"data": records, "options": {"horizon": 3}}).encode(), JSON),
        (bytes(stream.getvalue().to_pybytes()), ARROW), (bytes(stream.getvalue().to_pybytes()), ""),
        (parquet.getvalue(), PARQUET), (gzip.compress(content.encode()), CSV),
    ):  # fmt: skip
        assert post(service, body, "?horizon=3&names=nixtla", JSON, kind)[2] == expected, kind
    told = json.loads(post(service, json.dumps(columns).encode(), "?horizon=3&names=nixtla", JSON, JSON)[2])
    assert [*told["forecasts"]] == ["unique_id", "ds", "Dropcast", "Dropcast-lo-80", "Dropcast-hi-80"], "as it came"
    form, kind = as_form(content.encode(), {"horizon": 3})
    assert post(service, form, "?names=nixtla", JSON, kind)[2] == expected


def as_form(content: bytes, options: dict[str, Any]) -> tuple[bytes, str]:
    parts = (
        b'--edge\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n' + content,
        b'\r\n--edge\r\nContent-Disposition: form-data; name="options"\r\nContent-Type: application/json\r\n\r\n',
        json.dumps(options).encode() + b"\r\n--edge--\r\n",
    )
    return b"".join(parts), "multipart/form-data; boundary=edge"


def test_options_come_in_three_ways_and_the_query_counts_first(service: str) -> None:
    body = {"options": {"level": [50], "horizon": 2}, "data": [{"ds": f"2026-01-{d:02d}", "y": d % 7} for d in
                                                                 range(1, 29)]}  # fmt: skip
    told = json.loads(post(service, json.dumps(body).encode(), "?horizon=3", JSON, JSON)[2])
    assert len(told["forecasts"]) == 3
    body["options"] = {"level": 200, "nonsense": 1}
    status, _, text = post(service, json.dumps(body).encode(), "", JSON, JSON)
    refused = json.loads(text)
    assert (status, refused["code"]) == (422, "BAD_MANIFEST")
    assert "nonsense" in refused["detail"]
    assert "level" in refused["detail"]


def test_components_come_along(service: str) -> None:
    content = daily_series(60).encode()
    row = json.loads(post(service, content, "?components=true", JSON)[2])["forecasts"][0]
    assert row["trend"] + row["weekly"] == pytest.approx(row["prediction"])
    assert row["yearly"] is None, "the series is too short for it"
    assert post(service, content, "?components=true")[2].splitlines()[0].endswith(b"trend,yearly,weekly,daily")


def test_the_report_is_drawn(service: str) -> None:
    status, headers, body = post(service, daily_series(60).encode(), "?name=%3Cb%3Esales", "text/html")
    assert (status, headers["content-type"], headers["dropcast-series"]) == (200, "text/html; charset=utf-8", "1")
    assert b"<title>&lt;b&gt;sales</title>" in body
    assert b"dropcast-scratch" not in body, "a path of this machine"
    status, _, body = post(service, b"date,y\n", "", "text/html")
    assert (status, json.loads(body)["code"]) == (422, "NO_ROWS")


def arrow_of(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def test_a_page_refuses_and_takes_the_tables_that_other_answers_do(service: str) -> None:
    days = [dt.date(2026, 1, 1) + dt.timedelta(day) for day in range(60)]
    y = np.arange(60.0) % 7
    ids = {"unique_id": pa.array([day % 2 for day in range(60)], pa.duration("s"))}
    for accept in (JSON, "text/html"):
        status, _, body = post(service, arrow_of(pa.table({**ids, "ds": days, "y": y})), "", accept, ARROW)
        assert (status, json.loads(body)["code"]) == (422, "UNKNOWN_COLUMN")
    entries = pa.DictionaryArray.from_arrays(pa.array([0] * 60), pa.array(["a", None]))
    for odd in ({"unique_id": entries}, {"note": pa.array([10**17] * 60, pa.timestamp("s"))},
                {"y": pa.array([Decimal(10**6)] * 59 + [Decimal(10**7)], pa.decimal128(10, -3))}):  # fmt: skip
        for accept in (JSON, "text/html"):
            found = post(service, arrow_of(pa.table({"ds": days, "y": y, **odd})), "", accept, ARROW)
            assert (found[0], found[1]["dropcast-series"]) == (200, "1"), odd


def test_check_says_what_the_command_says(service: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.csv"
    for content in (daily_series(60), BAD, "date,y\n", "store,date,y\na,01/02/2026,3\nb,02/01/2026,4\n"):
        path.write_text(content)
        cli.main(["check", str(path), "--json", "--horizon=7"])
        expected = json.loads(capsys.readouterr().out)
        expected.pop("file")
        status, _, body = send(f"{service}/check?horizon=7", content.encode())
        assert (status, json.loads(body)) == (200, expected)


def test_pages_are_whole_and_need_nothing_else(service: str) -> None:
    for path in ("/", "/docs"):
        with urllib.request.urlopen(service + path, timeout=60) as answer:
            text = answer.read().decode()
            assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert not re.search(r"(src|href)=[\"']?(https?:)?//", text)
    schema = json.loads(urllib.request.urlopen(f"{service}/openapi.json", timeout=60).read())
    assert "security" not in schema["paths"]["/forecast"]["post"], "it needs no key"
    for route, methods in schema["paths"].items():
        for method in methods:
            assert f"{method.upper()} {route}" in text
    answers = schema["paths"]["/forecast"]["post"]["responses"]
    assert {"200", "401", "406", "408", "413", "422", "429"} <= answers.keys()
    example = schema["paths"]["/forecast"]["post"]["requestBody"]["content"][CSV]["example"]
    status, _, body = post(service, example.encode(), "?frequency=D&horizon=1")
    assert (status, body.splitlines()[0]) == (200, b"store,date,prediction,prediction_lower,prediction_upper")


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
        (b"x", "?names=theirs", CSV, 422, "BAD_MANIFEST"), (b"x", "?orient=up", CSV, 422, "BAD_MANIFEST"),
        (b"ARROW1\0\0", "", CSV, 422, "BAD_ARROW"), (b"\xff\xff\xff\xff", "", CSV, 422, "BAD_ARROW"),
        (b"x", "", "text/plain, image/*", 406, "BAD_MESSAGE"), (b"x" * 3_000_001, "", CSV, 413, "TOO_MANY_BYTES"),
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
    assert re.search(r'dropcast_requests_total{route="/forecast",status="200"} \d', metrics)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"[", 422, "BAD_JSON"), (b'{"data": [], "options": 3}', 422, "BAD_MANIFEST"), (b"[]", 422, "NO_ROWS"),
        (b"[" + b" " * 750_001 + b"]", 422, "TOO_MANY_BYTES"), (b'[{"ds": "x", "y": [1]}]', 422, "BAD_JSON"),
    ],
)  # fmt: skip
def test_json_that_is_no_table_is_refused(service: str, body: bytes, status: int, code: str) -> None:
    found, _, text = post(service, body, "", JSON, JSON)
    assert (found, json.loads(text)["code"]) == (status, code)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"--edge\r\n", "form"), (b"--edge--\r\n", "0 files"), (b"", "0 files"),
        (as_form(b"a", {})[0].replace(b'"file"', b'"options"'), "the options twice"),
        (as_form(b"a", {})[0].replace(b'"options"', b'"horizon"'), "a field 'horizon'"),
    ],
)  # fmt: skip
def test_forms_that_are_none_are_refused(service: str, body: bytes, problem: str) -> None:
    status, _, text = post(service, body, "", JSON, "multipart/form-data; boundary=edge")
    assert (status, json.loads(text)["code"]) == (400, "BAD_MESSAGE")
    assert problem in json.loads(text)["detail"]


def test_keys(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("# of the shop\nkey-of-the-shop-1\n\nkey-of-the-depot-2\n")
    process, url = started(tmp_path, f"--api_keys_file={tmp_path}/keys")
    try:
        content = daily_series(60).encode()
        for route in ("forecast", "check"):
            status, headers, body = send(f"{url}/{route}", content)
            assert (status, headers["www-authenticate"]) == (401, "Bearer")
            assert json.loads(body)["code"] == "UNAUTHORIZED"
            for wrong in ("key-of-the-shop-2", "", "# of the shop"):
                assert send(f"{url}/{route}", content, Authorization=f"Bearer {wrong}")[0] == 401
            assert send(f"{url}/{route}", content, Authorization="Bearer key-of-the-depot-2")[0] == 200
            assert send(f"{url}/{route}", content, **{"X-API-Key": "key-of-the-shop-1"})[0] == 200
        with urllib.request.urlopen(f"{url}/healthz", timeout=60) as answer:
            assert answer.status == 200
        schema = json.loads(urllib.request.urlopen(f"{url}/openapi.json", timeout=60).read())
        kinds = schema["components"]["securitySchemes"]
        for route in ("forecast", "check"):
            named = [*schema["paths"][f"/{route}"]["post"]["security"]]
            assert {kinds[name]["type"] for (name,) in named} == {"http", "apiKey"}
    finally:
        process.kill()
        process.wait()


def test_work_that_nobody_waits_for_ends(tmp_path: Path) -> None:
    process, url = started(tmp_path, "--at_once=1", "--max_request_seconds=600")
    try:
        rows = "".join(
            f"{s},2024-{1 + d // 28:02d}-{1 + d % 28:02d},{s + d % 7}\n" for s in range(30_000) for d in range(40)
        )
        host, port = url.removeprefix("http://").split(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=60)
        connection.request("POST", "/forecast?model=auto", "store,ds,y\n" + rows)
        wait_until(lambda: "dropcast_requests_running 1.0" in metrics_of(url))
        assert post(url, daily_series(60).encode())[0] == 429
        connection.close()  # work of minutes
        wait_until(lambda: 'status="499"' in metrics_of(url))
        assert post(url, daily_series(60).encode())[0] == 200
    finally:
        process.kill()
        process.wait()


def metrics_of(url: str) -> str:
    with urllib.request.urlopen(f"{url}/metrics", timeout=60) as answer:
        return str(answer.read().decode())


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_forecast_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    process, url = started(tmp_path, "--max_request_seconds=1")
    try:
        rows = "".join(
            f"{s},2024-{1 + d // 28:02d}-{1 + d % 28:02d},{s + d % 7}\n" for s in range(4000) for d in range(60)
        )
        status, _, body = post(url, f"store,ds,y\n{rows}".encode(), "?model=auto")
        assert (status, json.loads(body)["code"]) == (422, "TOO_SLOW")
        host, port = url.removeprefix("http://").split(":")
        slow = http.client.HTTPConnection(host, int(port), timeout=60)
        slow.putrequest("POST", "/forecast")
        slow.putheader("Content-Length", "100")
        slow.endheaders()
        slow.send(b"date")
        assert slow.getresponse().status == 408
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'[{"\\ud800": 1, "ds": "2025-01-01", "y": 1}]', "BAD_JSON"), (b'{"\\ud800": [[1]]}', "BAD_JSON"),
        (b'{"data": {"ds": ["2025-01-01"], "y": [1]}, "options": {"\\ud800": 1}}', "BAD_MANIFEST"),
        (json.dumps({f"c{number}": [1] for number in range(100_001)}).encode()[:750_000], "BAD_JSON"),
    ],
)  # fmt: skip
def test_halves_of_characters_break_nothing(service: str, body: bytes, code: str) -> None:
    status, headers, text = post(service, body, "", JSON, JSON)
    assert (status, json.loads(text)["code"]) == (422, code)
    assert headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("?encoding=idna", "BAD_MANIFEST"), ("?encoding=undefined", "BAD_MANIFEST"),
        ("?frequency=99999999999999D", "FREQUENCY_UNCLEAR"), ("?level=80&level=95", "BAD_MANIFEST"),
    ],
)  # fmt: skip
def test_options_that_are_none_are_refused(service: str, query: str, code: str) -> None:
    status, _, text = post(service, daily_series(60).encode(), query)
    assert (status, json.loads(text)["code"]) == (422, code)


def test_a_forms_charset_is_none_that_it_could_have(service: str) -> None:
    form, kind = as_form(daily_series(60).encode(), {})
    status, _, text = post(service, form, "", JSON, f"{kind}; charset=undefined")
    assert (status, json.loads(text)["code"]) == (400, "BAD_MESSAGE")


def test_a_csv_says_in_which_encoding_it_is(service: str) -> None:
    content = "Läden,date,y\n" + "".join(f"Köln,{line}\n" for line in daily_series(60).splitlines()[1:])
    _, headers, body = post(
        service, content.encode("cp1252"), "?encoding=cp1252&id_columns=Läden".replace("ä", "%C3%A4")
    )
    assert headers["content-type"] == "text/csv; charset=cp1252"
    assert "Köln" in body.decode("cp1252")


def test_pages_are_refused_like_files(service: str) -> None:
    bad = daily_series(60).replace("2024-01-02", "oops").encode()
    as_csv, as_html = (json.loads(post(service, bad, "?name=mine.csv", accept)[2]) for accept in (CSV, "text/html"))
    assert (as_csv["code"], as_csv["line"], as_csv["column"]) == ("BAD_DATE", 3, "date")
    assert as_html["code"] == "BAD_DATE"
    assert as_html["detail"].startswith("mine.csv, line 3")
    assert post(service, daily_series(60).encode(), "?names=theirs", "text/html")[0] == 422


def test_what_no_column_can_be_is_left_out_of_a_page(service: str) -> None:
    dates = pa.array(pd.date_range("2026-01-01", periods=60).date)
    table = pa.table({"ds": dates, "y": pa.array([1, 2, 3] * 20).dictionary_encode(), "l": [[1]] * 60})
    stream = pa.BufferOutputStream()
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    for accept in (CSV, "text/html"):
        assert post(service, bytes(stream.getvalue().to_pybytes()), "", accept, ARROW)[0] == 200


def test_check_and_forecast_agree_on_what_is_too_costly(service: str) -> None:
    content = daily_series(400).encode()
    code = json.loads(post(service, content, "?n_changepoints=900")[2])["code"]
    found = json.loads(send(f"{service}/check?n_changepoints=900", content)[2])
    assert (code, [one["code"] for one in found["first_problems"]]) == ("FIT_TIMEOUT", ["FIT_TIMEOUT"])
    for body, kind in ((b"[", JSON), (b"x", CSV)):
        status, _, text = send(f"{service}/check", body, **{"Content-Type": kind})
        assert (status, json.loads(text)["problems"]) == (200, 1)
    assert send(f"{service}/check?names=theirs", content)[0] == 422


def test_other_methods_and_routes(service: str) -> None:
    for path in ("/", "/healthz", "/readyz"):
        request = urllib.request.Request(service + path, method="HEAD")
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert (answer.status, answer.read()) == (200, b"")
    for path, method, status in (("/nothing", "GET", 404), ("/forecast", "GET", 405), ("/forecast/", "POST", 404)):
        request = urllib.request.Request(service + path, b"x" if method == "POST" else None, method=method)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=60)
        assert (refused.value.code, json.load(refused.value)["status"]) == (status, status)
    status, _, text = send(f"{service}/", b"{}", Origin="https://a-page.example")
    assert (status, json.loads(text)["detail"]) == (403, "A web page cannot push.")


def test_a_wider_accept_may_come_in_two_headers(service: str) -> None:
    host, port = service.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=60)
    connection.putrequest("POST", "/forecast")
    content = daily_series(60).encode()
    for name, value in (("Accept", "text/csv;q=0.1"), ("Accept", JSON), ("Content-Length", str(len(content)))):
        connection.putheader(name, value)
    connection.endheaders(content)
    assert connection.getresponse().headers["content-type"] == JSON


def test_it_ends_in_time_whatever_is_worked_on(tmp_path: Path) -> None:
    process, url = started(tmp_path, "--max_request_seconds=2")
    host, port = url.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=60)
    connection.request("POST", "/forecast?mcmc_samples=1000", daily_series(400))
    wait_until(lambda: "dropcast_requests_running 1.0" in metrics_of(url))
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=40) == 0


def test_bodies_take_no_more_room_than_they_may(tmp_path: Path) -> None:
    process, url = started(tmp_path, "--at_once=1", "--max_body_bytes=1000000")
    try:
        host, port = url.removeprefix("http://").split(":")
        slow = [socket.create_connection((host, int(port))) for _ in range(4)]
        for connection in slow:
            connection.sendall(b"POST /forecast HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n" + b"x" * 800_000)
        wait_until(lambda: 'status="429"' in metrics_of(url))
        for connection in slow:
            connection.close()
        wait_until(lambda: post(url, b"date,y\n" + b"x" * 900_000)[0] == 422)  # all of it is given back
    finally:
        process.kill()
        process.wait()


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
    [("", CSV), ("*/*", CSV), ("text/*", CSV), ("text/html;q=0.8, application/json;q=0.9", JSON),
     ("text/html, */*;q=0.1", "text/html"), ("text/csv;q=0", None), (ARROW, ARROW),
     ("image/png", None)],
)  # fmt: skip
def test_the_first_media_type_that_can_be_had(accept: str, expected: str | None) -> None:
    assert media_type_of(accept) == expected


def test_options_of_a_request_come_before_the_operators() -> None:
    operators = ForecastSpec(level=[50], horizon=3)
    found: Any = spec_asked({"quantiles": "0.1,0.9"}, operators, Limits())
    assert (found.quantiles, found.horizon) == ((0.1, 0.9), 3)
    with pytest.raises(RecordError, match="save_models"):
        spec_asked({"save_models": "x"}, operators, Limits())
    with pytest.raises(RecordError, match="29 levels"):
        spec_asked({"level": ",".join(map(str, range(1, 30)))}, operators, Limits())
