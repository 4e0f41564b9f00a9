"""The local cloud behaves as the real one where it matters to us."""

from __future__ import annotations

import gzip
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from google.api_core.exceptions import BadRequest, Conflict, NotFound, PreconditionFailed
from google.cloud import bigquery

from tests.downloads import required
from tests.local_cloud.cloud import LocalCloud, Unavailable
from tests.local_cloud.fault_proxy import FaultProxy, Rule, TcpProxy

pytestmark = pytest.mark.cloud

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def cloud() -> Iterator[LocalCloud]:
    try:
        with LocalCloud() as started:
            yield started
    except Unavailable as reason:
        if required("DROPCAST_REQUIRE_CLOUD"):
            raise
        pytest.skip(str(reason))


@pytest.fixture(scope="module")
def bucket(cloud: LocalCloud) -> Any:
    return cloud.create_bucket("uploads")


def pull(cloud: LocalCloud, subscription: str, wanted: int, seconds: float = 5) -> list[Any]:
    """Return the messages of a subscription, in the order of their time, once there are as many as wanted."""
    messages = []
    end = time.monotonic() + seconds
    with cloud.subscriber() as subscriber:
        while len(messages) < wanted and time.monotonic() < end:
            answer = subscriber.pull(subscription=subscription, max_messages=10)
            for received in answer.received_messages:
                messages.append(received.message)
                subscriber.acknowledge(subscription=subscription, ack_ids=[received.ack_id])
    return messages


# Cloud Storage and its notifications.


def test_an_upload_is_notified(cloud: LocalCloud, bucket: Any) -> None:
    cloud.create_topic("uploaded")
    subscription = cloud.create_subscription("uploaded", "uploaded")
    notification = cloud.notify("uploads", "uploaded", prefix="in/")
    bucket.blob("elsewhere/a.csv").upload_from_string("no")
    blob = bucket.blob("in/a b.csv")
    blob.upload_from_string("date,y\n", content_type="text/csv")
    [message] = pull(cloud, subscription, 1)
    assert dict(message.attributes) | {"eventTime": ""} == {
        "bucketId": "uploads",
        "objectId": "in/a b.csv",
        "objectGeneration": str(blob.generation),
        "eventType": "OBJECT_FINALIZE",
        "payloadFormat": "JSON_API_V1",
        "notificationConfig": f"projects/_/buckets/uploads/notificationConfigs/{notification.notification_id}",
        "eventTime": "",
    }
    content = json.loads(message.data)
    assert content["kind"] == "storage#object"
    assert (content["name"], content["size"], content["contentType"]) == ("in/a b.csv", "7", "text/csv")
    assert (content["generation"], content["metageneration"]) == (str(blob.generation), "1")
    assert content["selfLink"].startswith(cloud.storage) and content["etag"]

    blob.upload_from_string("date,y\n2024-01-01,1\n")
    blob.delete()
    [message] = pull(cloud, subscription, 2, seconds=1.5)  # Deletions are not asked for.
    assert message.attributes["overwroteGeneration"]


def test_of_several_creations_one_wins(bucket: Any) -> None:
    def create(number: int) -> bool:
        try:
            bucket.blob("race").upload_from_string(str(number), if_generation_match=0)
        except PreconditionFailed:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        won = list(threads.map(create, range(8)))
    assert sum(won) == 1
    assert bucket.blob("race").download_as_text() == str(won.index(True))


def test_of_several_changes_one_wins(bucket: Any) -> None:
    blob = bucket.blob("race to delete")
    blob.upload_from_string("x")

    def delete(_: int) -> bool:
        try:
            bucket.blob("race to delete").delete(if_generation_match=blob.generation)
        except PreconditionFailed:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(delete, range(8))) == 1


def test_preconditions_hold_for_every_kind_of_request(bucket: Any) -> None:
    blob = bucket.blob("conditions")
    blob.upload_from_string("x")
    right, wrong = blob.generation, blob.generation + 1
    other = bucket.blob("other")
    for request in (
        lambda: blob.delete(if_generation_match=wrong),
        lambda: blob.download_as_bytes(if_generation_match=wrong),
        lambda: blob.reload(if_generation_match=wrong),
        lambda: blob.patch(if_generation_match=wrong),
        lambda: blob.patch(if_metageneration_match=7),
        lambda: blob.upload_from_string("y", if_generation_match=wrong),
        lambda: other.compose([blob], if_generation_match=wrong),
        lambda: other.rewrite(blob, if_generation_match=wrong),
        lambda: other.rewrite(blob, if_source_generation_match=wrong),
        lambda: bucket.copy_blob(blob, bucket, "other", if_source_generation_match=wrong),
        lambda: bucket.copy_blob(blob, bucket, "other", if_generation_match=wrong),
    ):
        with pytest.raises(PreconditionFailed):
            request()
    with pytest.raises(NotFound):
        bucket.blob("nowhere").download_as_bytes(if_generation_match=right)
    assert not other.exists()
    assert blob.exists(if_generation_match=right)
    assert blob.download_as_bytes(if_generation_match=right) == b"x"
    other.rewrite(blob, if_generation_match=0, if_source_generation_match=right)
    bucket.copy_blob(blob, bucket, "copy", if_generation_match=0)
    blob.delete(if_generation_match=right)


def test_a_read_that_is_not_needed_is_answered_so(cloud: LocalCloud, bucket: Any) -> None:
    blob = bucket.blob("unchanged")
    blob.upload_from_string("x")
    url = f"{cloud.storage}/storage/v1/b/uploads/o/unchanged?ifGenerationNotMatch={blob.generation}"
    with pytest.raises(urllib.error.HTTPError, match="304"):
        urllib.request.urlopen(url)


def test_a_patch_keeps_the_generation(bucket: Any) -> None:
    blob = bucket.blob("patched")
    blob.upload_from_string("x")
    generation = blob.generation
    blob.metadata = {"colour": "blue"}
    blob.patch(if_metageneration_match=1)
    assert (blob.generation, blob.metageneration, blob.metadata) == (generation, 2, {"colour": "blue"})
    assert bucket.get_blob("patched").metageneration == 2
    assert next(iter(bucket.list_blobs(prefix="patched"))).metageneration == 2


def test_compose(bucket: Any) -> None:
    parts = [bucket.blob(f"part {number}") for number in range(3)]
    for part in parts:
        part.upload_from_string(part.name)
    whole = bucket.blob("whole")
    whole.compose(parts, if_generation_match=0)
    assert whole.download_as_text() == "part 0part 1part 2"
    with pytest.raises(NotFound):
        whole.compose([*parts, bucket.blob("missing")])


def test_many_requests_in_one(cloud: LocalCloud, bucket: Any) -> None:
    for name in "abc":
        bucket.blob(f"batch/{name}").upload_from_string(name)
    client = cloud.storage_client()
    with client.batch():
        for name in "abc":
            client.bucket("uploads").blob(f"batch/{name}").delete()
    assert list(bucket.list_blobs(prefix="batch/")) == []
    with pytest.raises(NotFound), client.batch():
        client.bucket("uploads").blob("batch/none").delete()


def test_an_upload_in_parts(bucket: Any) -> None:
    content = os.urandom(3 * 2**18 + 1)
    blob = bucket.blob("parts", chunk_size=2**18)
    blob.metadata = {"colour": "blue"}
    blob.upload_from_file(io.BytesIO(content), content_type="application/x-noise", if_generation_match=0)
    found = bucket.get_blob("parts")
    assert found.download_as_bytes() == content
    assert found.download_as_bytes(start=5, end=9) == content[5:10]
    assert (found.content_type, found.metadata) == ("application/x-noise", {"colour": "blue"})
    with pytest.raises(PreconditionFailed):
        blob.upload_from_file(io.BytesIO(content), if_generation_match=0)


# Pub/Sub.


def test_a_pull_of_nothing_is_empty(cloud: LocalCloud) -> None:
    cloud.create_topic("silent")
    subscription = cloud.create_subscription("silent", "silent")
    with cloud.subscriber() as subscriber:
        for timeout in (30, 0.5):
            begun = time.monotonic()
            answer = subscriber.pull(subscription=subscription, max_messages=10, timeout=timeout, retry=None)
            assert not answer.received_messages
            assert time.monotonic() - begun < 1.5


def test_a_streaming_pull(cloud: LocalCloud) -> None:
    topic = cloud.create_topic("stream")
    subscription = cloud.create_subscription("stream", "stream")
    received: list[bytes] = []
    all_there = threading.Event()

    def receive(message: Any) -> None:
        received.append(message.data)
        message.ack()
        if len(received) == 50:
            all_there.set()

    publisher = cloud.publisher()
    with cloud.subscriber() as subscriber:
        stream = subscriber.subscribe(subscription, callback=receive)
        for number in range(50):
            publisher.publish(topic, str(number).encode())
        assert all_there.wait(10)
        stream.cancel()
        stream.result(10)
    assert sorted(map(int, received)) == list(range(50))


# BigQuery.

SCHEMA = [
    bigquery.SchemaField("name", "STRING", mode="REQUIRED"),
    bigquery.SchemaField("size", "INTEGER"),
    bigquery.SchemaField("share", "FLOAT"),
    bigquery.SchemaField("is_new", "BOOLEAN"),
    bigquery.SchemaField("at", "TIMESTAMP"),
    bigquery.SchemaField("day", "DATE"),
    bigquery.SchemaField("price", "NUMERIC"),
    bigquery.SchemaField("notes", "JSON"),
    bigquery.SchemaField("tags", "STRING", mode="REPEATED"),
    bigquery.SchemaField("owner", "RECORD", fields=[bigquery.SchemaField("id", "INTEGER", mode="REQUIRED")]),
]


@pytest.fixture(scope="module")
def client(cloud: LocalCloud) -> Any:
    cloud.create_dataset("sales")
    return cloud.bigquery_client()


def make_table(client: Any, name: str, partitioned_by: str | None = None) -> Any:
    table = bigquery.Table(f"local-cloud.sales.{name}", schema=SCHEMA)
    if partitioned_by:
        table.time_partitioning = bigquery.TimePartitioning(field=partitioned_by)
    return client.create_table(table)


def names(client: Any, table: str) -> list[str]:
    return [row["name"] for row in client.query_and_wait(f"SELECT name FROM sales.{table} ORDER BY name")]


def test_a_row_is_inserted_once(client: Any, cloud: LocalCloud) -> None:
    table = make_table(client, "once")
    rows = [{"name": "a"}, {"name": "b"}]
    assert client.insert_rows_json(table, rows, row_ids=["1", "2"]) == []
    assert client.insert_rows_json(table, [*rows, {"name": "c"}], row_ids=["1", "2", "3"]) == []
    assert client.insert_rows_json(table, [{"name": "d"}] * 2, row_ids=[None, None]) == []
    assert names(client, "once") == ["a", "b", "c", "d", "d"]
    with urllib.request.urlopen(f"{cloud.bigquery}/control/counts") as answer:
        assert json.load(answer)["sales.once"] == {"received": 7, "inserted": 5, "deduplicated": 2, "refused": 0}
    client.delete_table(table)
    make_table(client, "once")
    client.insert_rows_json(table, rows, row_ids=["1", "2"])
    assert names(client, "once") == ["a", "b"]


def test_values_come_back_as_they_were(client: Any) -> None:
    table = make_table(client, "kinds")
    row = {
        "name": "a",
        "size": "12",
        "share": 0.5,
        "is_new": "true",
        "at": "2024-01-02T03:04:05.678901Z",
        "day": "2024-01-02",
        "price": "1.25",
        "notes": '{"x": [1, null]}',
        "tags": ["p", "q"],
        "owner": {"id": 7},
    }
    at = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert client.insert_rows_json(table, [row, {"name": "b", "at": at.timestamp(), "share": "NaN"}]) == []
    first, second = client.query_and_wait("SELECT * FROM sales.kinds ORDER BY name")
    assert (first["size"], first["share"], first["is_new"], first["tags"]) == (12, 0.5, True, ["p", "q"])
    assert first["at"] == at + timedelta(microseconds=678901)
    assert (first["day"].isoformat(), float(first["price"]), first["owner"]) == ("2024-01-02", 1.25, {"id": 7})
    assert first["notes"] == {"x": [1, None]}
    assert second["at"] == at and second["share"] != second["share"]


@pytest.mark.parametrize(
    "bad",
    [
        {"size": 1},
        {"name": None},
        {"name": "x", "size": "many"},
        {"name": "x", "size": 1.5},
        {"name": "x", "size": True},
        {"name": "x", "share": "half"},
        {"name": "x", "at": "yesterday"},
        {"name": "x", "day": "2024-02-30"},
        {"name": "x", "price": "0.0000000001"},
        {"name": "x", "notes": "{"},
        {"name": "x", "notes": {"a": 1}},
        {"name": "x", "is_new": "perhaps"},
        {"name": "x", "owner": {}},
        {"name": ["x"]},
        {"name": "x", "colour": "blue"},
    ],
)
def test_a_bad_row_stops_the_others(client: Any, bad: dict[str, Any]) -> None:
    table = client.create_table(bigquery.Table("local-cloud.sales.bad", schema=SCHEMA), exists_ok=True)
    errors = client.insert_rows_json(table, [{"name": "good"}, bad])
    assert [(error["index"], error["errors"][0]["reason"]) for error in errors] == [(0, "stopped"), (1, "invalid")]
    assert names(client, "bad") == []


def test_a_bad_row_is_left_out(client: Any) -> None:
    table = make_table(client, "skipped")
    rows = [{"name": "a"}, {"size": 1}, {"name": "b", "extra": 1}]
    errors = client.insert_rows_json(table, rows, row_ids=["1", "2", "3"], skip_invalid_rows=True)
    assert [(error["index"], error["errors"][0]["reason"]) for error in errors] == [(1, "invalid"), (2, "invalid")]
    assert client.insert_rows_json(table, [rows[2]], row_ids=["3"], ignore_unknown_values=True) == []
    assert names(client, "skipped") == ["a", "b"]


def test_a_partition_too_far_away_is_refused(client: Any) -> None:
    table = make_table(client, "parted", partitioned_by="day")
    today = datetime.now(UTC).date()
    days = [today - timedelta(days=6 * 366), today - timedelta(days=300), today, today + timedelta(days=500), None]
    rows = [{"name": str(day), "day": day and day.isoformat()} for day in days]
    errors = client.insert_rows_json(table, rows, skip_invalid_rows=True)
    assert [error["index"] for error in errors] == [0, 3]
    assert len(names(client, "parted")) == 3


def test_rows_are_refused_on_demand(client: Any, cloud: LocalCloud) -> None:
    table = make_table(client, "refused")

    def refuse(every: int) -> None:
        body = gzip.compress(json.dumps({"table": "refused", "every": every}).encode())
        url = f"{cloud.bigquery}/control/refuse_every"
        urllib.request.urlopen(urllib.request.Request(url, body, {"Content-Encoding": "gzip"}))

    refuse(4)
    rows = [{"name": f"{number:02}"} for number in range(10)]
    ids = [row["name"] for row in rows]
    for _ in range(2):
        errors = client.insert_rows_json(table, rows, row_ids=ids, skip_invalid_rows=True)
        assert [error["index"] for error in errors] == [3, 7]
    refuse(0)
    assert client.insert_rows_json(table, rows, row_ids=ids) == []
    assert names(client, "refused") == ids


def test_a_table_that_is_not_there(client: Any) -> None:
    with pytest.raises(NotFound):
        client.insert_rows_json("local-cloud.sales.nowhere", [{"name": "a"}], retry=None)


def test_a_load_job_is_done_once(client: Any, bucket: Any) -> None:
    table = make_table(client, "loaded")
    file = io.BytesIO()
    pq.write_table(pa.table({"size": [1, 2], "name": ["a", "b"]}), file)
    bucket.blob("tables/some.parquet").upload_from_string(file.getvalue())
    settings = bigquery.LoadJobConfig(source_format="PARQUET", write_disposition="WRITE_APPEND")

    def load(_: int) -> bool:
        try:
            uri = "gs://uploads/tables/some.parquet"
            job = client.load_table_from_uri(uri, table, job_id="load-1", job_config=settings).result()
            assert job.output_rows == 2
        except Conflict:
            assert client.get_job("load-1").state == "DONE"
            return False
        return True

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(load, range(4))) == 1
    assert names(client, "loaded") == ["a", "b"]


def test_a_load_job_does_all_or_nothing(client: Any, bucket: Any) -> None:
    table = make_table(client, "all_or_nothing")
    client.insert_rows_json(table, [{"name": "before"}])
    for name, columns in (("good", {"name": ["a"]}), ("bad", {"unknown": [1]})):
        file = io.BytesIO()
        pq.write_table(pa.table(columns), file)
        bucket.blob(f"tables/{name}.parquet").upload_from_string(file.getvalue())
    settings = bigquery.LoadJobConfig(source_format="PARQUET", write_disposition="WRITE_TRUNCATE")
    for bad in ("bad", "missing"):
        uris = ["gs://uploads/tables/good.parquet", f"gs://uploads/tables/{bad}.parquet"]
        with pytest.raises((BadRequest, NotFound)):
            client.load_table_from_uri(uris, table, job_config=settings).result()
    assert names(client, "all_or_nothing") == ["before"]


# Faults.


@pytest.fixture
def proxy(cloud: LocalCloud) -> Iterator[FaultProxy]:
    with FaultProxy(cloud.storage) as started:
        yield started


def read(proxy: FaultProxy, name: str, method: str = "GET", timeout: float = 5) -> bytes:
    request = urllib.request.Request(f"{proxy.url}/download/storage/v1/b/uploads/o/{name}?alt=media", method=method)
    with urllib.request.urlopen(request, timeout=timeout) as answer:
        return bytes(answer.read())


def test_an_error_is_answered(proxy: FaultProxy, bucket: Any) -> None:
    bucket.blob("faulty").upload_from_string("abcdef")
    proxy.rules.append(Rule("status", code=429, times=2, path="/faulty"))
    for _ in range(2):
        with pytest.raises(urllib.error.HTTPError, match="429"):
            read(proxy, "faulty")
    assert read(proxy, "faulty") == b"abcdef"
    assert [(fault.kind, fault.method) for fault in proxy.log] == [("status", "GET")] * 2


def test_a_connection_is_reset(proxy: FaultProxy, bucket: Any) -> None:
    url = f"{proxy.url}/storage/v1/b/uploads/o"
    for kind, made in (("reset", False), ("reset_after", True)):
        proxy.rules[:] = [Rule(kind, times=1)]
        upload = f"{url.replace('/storage/', '/upload/storage/')}?uploadType=media&name={kind}"
        with pytest.raises(ConnectionError):
            urllib.request.urlopen(urllib.request.Request(upload, b"content", {"Content-Type": "text/plain"}))
        assert bucket.blob(kind).exists() == made


def test_an_answer_is_cut(proxy: FaultProxy, bucket: Any) -> None:
    bucket.blob("cut").upload_from_string("abcdef")
    proxy.rules.append(Rule("cut", times=1))
    with pytest.raises(HTTPException) as cut:
        read(proxy, "cut")
    assert cut.value.partial == b"abc"  # type: ignore[attr-defined]


def test_an_answer_is_late_or_never_comes(proxy: FaultProxy, bucket: Any) -> None:
    bucket.blob("late").upload_from_string("abcdef")
    proxy.rules[:] = [Rule("delay", seconds=0.3, times=1), Rule("hang", times=1)]
    begun = time.monotonic()
    assert read(proxy, "late") == b"abcdef"
    assert time.monotonic() - begun >= 0.3
    with pytest.raises(TimeoutError):
        read(proxy, "late", timeout=0.3)
    assert read(proxy, "late") == b"abcdef"


def test_chances_are_the_same_with_the_same_seed(cloud: LocalCloud, bucket: Any) -> None:
    bucket.blob("chance").upload_from_string("x")
    outcomes = []
    for _ in range(2):
        with FaultProxy(cloud.storage, [Rule("status", probability=0.5)], seed=3) as proxy:
            for _ in range(20):
                try:
                    read(proxy, "chance")
                except urllib.error.HTTPError:
                    outcomes.append(True)
                else:
                    outcomes.append(False)
    assert outcomes[:20] == outcomes[20:]
    assert 3 < sum(outcomes[:20]) < 17


def test_a_client_survives_faults_in_an_upload(cloud: LocalCloud, proxy: FaultProxy, bucket: Any) -> None:
    content = os.urandom(5 * 2**18 + 1)
    proxy.rules[:] = [
        Rule("status", method="PUT", times=1),
        Rule("reset_after", method="PUT", times=1),
        Rule("cut", method="GET", path="alt=media", times=1),
    ]
    client = cloud.storage_client(proxy.url)
    blob = client.bucket("uploads").blob("survivor", chunk_size=2**18)
    blob.upload_from_file(io.BytesIO(content), if_generation_match=0, timeout=5)
    assert bucket.blob("survivor").download_as_bytes() == content
    assert client.bucket("uploads").get_blob("survivor").media_link.startswith(proxy.url)
    assert client.bucket("uploads").blob("survivor").download_as_bytes() == content
    assert [fault.kind for fault in proxy.log] == ["status", "reset_after", "cut"]


def test_a_lost_answer_does_not_insert_twice(cloud: LocalCloud, client: Any) -> None:
    table = make_table(client, "lost")
    with FaultProxy(cloud.bigquery, [Rule("reset_after", path="insertAll", times=1)]) as proxy:
        assert cloud.bigquery_client(proxy.url).insert_rows_json(table, [{"name": "a"}]) == []
        assert len(proxy.log) == 1
    assert names(client, "lost") == ["a"]
    assert cloud.front.counts()["sales.lost"]["deduplicated"] == 1


def test_pubsub_is_down_for_a_while(cloud: LocalCloud) -> None:
    topic = cloud.create_topic("broken")
    subscription = cloud.create_subscription("broken", "broken")
    with TcpProxy(cloud.pubsub) as proxy:
        publisher = cloud.publisher(proxy.address)
        publisher.publish(topic, b"1").result(10)
        proxy.down()
        late = publisher.publish(topic, b"2")
        with pytest.raises(TimeoutError):
            late.result(0.5)
        proxy.up()
        late.result(60)
    assert {message.data for message in pull(cloud, subscription, 2)} == {b"1", b"2"}


# The servers as processes.


def test_the_command_line_and_its_end(cloud: LocalCloud) -> None:
    command = [sys.executable, "-m", "tests.local_cloud"]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        lines = [process.stdout.readline() for _ in cloud.environment]
        assert {line.split()[1].split("=")[0] for line in lines} == set(cloud.environment)
        url = lines[1].split("=")[1].strip()
        assert urllib.request.urlopen(f"{url}/storage/v1/b?project=local-cloud").status == 200
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=10)
        assert process.returncode == 0
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"{url}/storage/v1/b?project=local-cloud")


def test_the_servers_end_with_their_parent(cloud: LocalCloud) -> None:
    code = (
        "import time; from tests.local_cloud.cloud import LocalCloud; cloud = LocalCloud().start();"
        "print(cloud.root, *[server._process.pid for server in cloud._servers], flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        root, *pids = process.stdout.readline().split()
        children = [int(pid) for pid in pids]
        assert len(children) == 2
        process.kill()
    end = time.monotonic() + 5
    while any(is_alive(pid) for pid in children) or Path(root).exists():
        assert time.monotonic() < end
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
