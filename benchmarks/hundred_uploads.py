"""A hundred uploads at once, on the servers of tests/local_cloud: pipeline and service compared with a plain handler.

    python benchmarks/hundred_uploads.py [--csv=FILE] [--uploads=100] [--engine=native]

pipeline  DirectRunner, one process, reading the bucket's notifications; rows go to BigQuery too
service   dropcast serve, one process, to which each upload is pushed, --at_once of them at a time; with rows too
handler   an HTTP server around plain Prophet, one worker, one request at a time: reads the object, fits, writes the CSV

All are warm: each has forecast one file before. The clock runs from the first upload to the last forecast.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import logging
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.local_cloud.cloud import LocalCloud

ROWS = 365
AT_ONCE = 8


def main() -> None:
    """Run both and print their times and ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--csv", type=Path, help="what to upload [a made-up year of daily values]")
    parser.add_argument("--uploads", type=int, default=100, help="[%(default)s]")
    parser.add_argument("--engine", default="native", help="[%(default)s]")
    arguments = parser.parse_args()
    content = arguments.csv.read_text() if arguments.csv else made_up()
    with LocalCloud() as cloud:
        os.environ.update(cloud.environment)
        pipeline = time_pipeline(cloud, content, arguments.uploads, arguments.engine)
        service = time_service(cloud, content, arguments.uploads, arguments.engine)
        handler = time_handler(cloud, content, arguments.uploads)
    for name, seconds in (("pipeline", pipeline), ("service", service)):
        print(f"{name:<8} {seconds:6.2f} s   handler {handler:6.2f} s   ratio {handler / seconds:.1f}")


def made_up() -> str:
    """Return a year of daily values with a weekly pattern."""
    from series import make_block

    block = make_block(ROWS, 1, False, 0, first_day=0)
    dates = block.days.astype("datetime64[D]").astype(str).tolist()
    return "ds,y\n" + "".join(f"{date},{value:.2f}\n" for date, value in zip(dates, block.y.tolist(), strict=True))


def time_pipeline(cloud: LocalCloud, content: str, uploads: int, engine: str) -> float:
    """Return the seconds from the first upload to the last forecast and the last row."""
    cloud.create_bucket("uploads")
    cloud.create_bucket("forecasts")
    cloud.create_topic("uploads")
    subscription = cloud.create_subscription("uploads", "uploads")
    cloud.notify("uploads", "uploads")
    cloud.create_dataset("forecasts")
    dataset = f"{cloud.project}.forecasts"
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline.main", f"--input_subscription={subscription}", f"--engine={engine}",
             "--output=gs://forecasts/daily", f"--dataset={dataset}", "--runner=DirectRunner"],
            stderr=log, stdout=log,
        )  # fmt: skip
        client: Any = cloud.storage_client()
        bucket = client.bucket("uploads")

        def forecasts(prefix: str) -> int:
            return sum(1 for _ in client.list_blobs("forecasts", prefix=f"daily/{prefix}"))

        bucket.blob("warm/0.csv").upload_from_string(content)
        while not forecasts("warm/"):
            assert process.poll() is None, "the pipeline ended"
            time.sleep(0.05)
        time.sleep(2)  # so that it is waiting for messages when the clock starts
        start = time.perf_counter()
        for number in range(uploads):
            bucket.blob(f"many/{number}.csv").upload_from_string(content)
        while forecasts("many/") < uploads:
            assert process.poll() is None, "the pipeline ended"
            time.sleep(0.1)
        seconds = time.perf_counter() - start
        sql = f"SELECT COUNT(*) AS n FROM `{dataset}.latest_forecasts` WHERE output LIKE 'many/%'"
        rows = 0
        while rows < 28 * uploads:
            rows = next(iter(cloud.bigquery_client().query(sql).result()))["n"]
        print(f"{uploads} forecasts, {rows} rows, the last {time.perf_counter() - start:.2f} s after the first upload")
        assert rows == 28 * uploads, "a row appears twice"
        process.kill()
        process.wait()
    return seconds


def time_service(cloud: LocalCloud, content: str, uploads: int, engine: str) -> float:
    """Return the seconds from the first upload to the last answer, after which all rows are there."""
    cloud.create_dataset("served")
    dataset = f"{cloud.project}.served"
    client: Any = cloud.storage_client()
    bucket = client.bucket("uploads")
    with tempfile.NamedTemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline.cli", "serve", "--port=0", f"--engine={engine}", f"--at_once={AT_ONCE}",
             "--output=gs://forecasts/served", f"--dataset={dataset}"], stderr=log, stdout=log,
        )  # fmt: skip
        while not (found := re.search(r"http://[\d.:]+", Path(log.name).read_text())):
            assert process.poll() is None, "the service ended"
            time.sleep(0.05)

        def push(name: str) -> None:
            blob = bucket.blob(name)
            blob.upload_from_string(content)
            attributes = {"eventType": "OBJECT_FINALIZE", "bucketId": "uploads", "objectId": name,
                          "objectGeneration": str(blob.generation), "payloadFormat": "JSON_API_V1"}  # fmt: skip
            payload = {"size": str(len(content)), "timeCreated": blob.time_created.isoformat()}
            data = base64.b64encode(json.dumps(payload).encode()).decode()
            body = json.dumps({"message": {"attributes": attributes, "data": data, "messageId": name}}).encode()
            urllib.request.urlopen(found[0], body).close()

        push("served/warm.csv")
        with ThreadPoolExecutor(AT_ONCE) as pool:
            start = time.perf_counter()
            list(pool.map(push, [f"served/{number}.csv" for number in range(uploads)]))
            seconds = time.perf_counter() - start
        sql = f"SELECT COUNT(*) AS n FROM `{dataset}.latest_forecasts`"
        assert next(iter(cloud.bigquery_client().query(sql).result()))["n"] == 28 * (uploads + 1)
        process.kill()
        process.wait()
    return seconds


def time_handler(cloud: LocalCloud, content: str, uploads: int) -> float:
    """Return the seconds that a plain handler takes for the same files."""
    import pandas as pd
    from prophet import Prophet

    logging.getLogger("cmdstanpy").disabled = True
    client: Any = cloud.storage_client()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            name = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["name"]
            frame = pd.read_csv(io.BytesIO(client.bucket("uploads").blob(name).download_as_bytes()))
            frame.columns = ["ds", "y"]
            model = Prophet()
            model.fit(frame)
            forecast = model.predict(model.make_future_dataframe(28, include_history=False))
            columns = ["ds", "yhat", "yhat_lower", "yhat_upper"]
            client.bucket("forecasts").blob(f"plain/{name}").upload_from_string(forecast[columns].to_csv(index=False))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def ask(name: str) -> None:
        client.bucket("uploads").blob(name).upload_from_string(content)
        body = json.dumps({"name": name}).encode()
        urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}", body).close()

    ask("plain/warm.csv")
    start = time.perf_counter()
    for number in range(uploads):
        ask(f"plain/{number}.csv")
    seconds = time.perf_counter() - start
    server.shutdown()
    return seconds


if __name__ == "__main__":
    main()
