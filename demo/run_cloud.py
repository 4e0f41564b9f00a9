"""The demo on a local cloud: files are uploaded to a bucket, and the streaming pipeline forecasts them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # for the servers, which belong to the tests

from sample_files import write_sample_files

from tests.local_cloud.cloud import LocalCloud, Unavailable

UPLOADS, FORECASTS, TOPIC, DATASET = "uploads", "forecasts", "uploads", "dropcast"
QUERY = (
    "SELECT output, COUNT(DISTINCT series_id) AS series, COUNT(*) AS rows_, MAX(model) AS model\n"
    "FROM `{}.latest_forecasts` GROUP BY output ORDER BY output"
)
SECONDS = 120


def main() -> int:
    """Run the demo; return 0 if everything worked."""
    print("1. Servers on this machine: Pub/Sub, Cloud Storage, BigQuery (built the first time: a few minutes)")
    try:
        cloud = LocalCloud().start()
    except Unavailable as error:
        print(f"   {error}")
        return 1
    with cloud, tempfile.TemporaryDirectory() as folder:
        os.environ.update(cloud.environment)
        return demonstrate(cloud, Path(folder))


def demonstrate(cloud: LocalCloud, folder: Path) -> int:
    """Upload files and show the results."""
    from google.cloud import storage
    from google.cloud.exceptions import NotFound

    cloud.create_bucket(UPLOADS)
    cloud.create_bucket(FORECASTS)
    cloud.create_topic(TOPIC)
    subscription = cloud.create_subscription(TOPIC, TOPIC)
    cloud.notify(UPLOADS, TOPIC)
    cloud.create_dataset(DATASET)
    dataset = f"{cloud.project}.{DATASET}"
    print(f"   bucket {UPLOADS} -> topic {TOPIC} -> {subscription}")

    print(f"\n2. The streaming pipeline: --output=gs://{FORECASTS}/daily --dataset={dataset}")
    command = [
        sys.executable, "-m", "pipeline.main", f"--input_subscription={subscription}",
        f"--output=gs://{FORECASTS}/daily", f"--dataset={dataset}", "--runner=DirectRunner",
    ]  # fmt: skip
    log = folder / "pipeline.log"
    with log.open("wb") as errors:
        pipeline = subprocess.Popen(command, stdout=errors, stderr=errors)
    try:
        client: Any = storage.Client(project=cloud.project)
        uploads, forecasts = client.bucket(UPLOADS), client.bucket(FORECASTS)
        done = forecasts.blob("daily/first.csv")
        uploads.blob("first.csv").upload_from_string(
            "ds,y\n" + "".join(f"2024-01-{day:02d},{day % 7}\n" for day in range(1, 31))
        )
        if not _until(done.exists, pipeline):
            print(log.read_text()[-2000:])
            return 1
        paths = write_sample_files(folder / "files")
        print(f"\n3. {len(paths)} sample files, uploaded with the ordinary client")
        for path in paths:
            start = time.monotonic()
            uploads.blob(f"samples/{path.name}").upload_from_filename(path)
            receipt = _receipt_after(client, f"{UPLOADS}/samples/{path.name}", pipeline)
            took = time.monotonic() - start
            if receipt is None:
                print(log.read_text()[-2000:])
                return 1
            print(f"   {path.name:<24}{took:5.2f} s from upload to receipt: {receipt}")
        manifest = {"input": "monthly_accounts.csv", "value_column": ["revenue", "costs"], "horizon": 12}
        name = "samples/monthly_accounts.manifest.json"
        start = time.monotonic()
        uploads.blob(name).upload_from_string(json.dumps(manifest))
        receipt = _receipt_after(client, f"{UPLOADS}/samples/monthly_accounts.csv", pipeline, "complete")
        print(f"   {'its manifest':<24}{time.monotonic() - start:5.2f} s from upload to receipt: {receipt}")
        print("\n4. The object")
        blob = forecasts.blob("daily/samples/page_views.csv")
        try:
            lines = blob.download_as_text().splitlines()
        except NotFound:
            return 1
        print(f"   gs://{FORECASTS}/{blob.name}: {len(lines) - 1} rows")
        print("   " + "\n   ".join(lines[:4]))
        print("\n5. The rows, in SQL")
        sql = QUERY.replace("{}", dataset)
        print("   " + sql.replace("\n", "\n   "))
        for row in cloud.bigquery_client().query(sql).result():
            print("   " + "  ".join(f"{name}={value}" for name, value in row.items()))
    finally:
        pipeline.terminate()
        pipeline.wait()
    return 0


def _receipt_after(client: Any, source: str, pipeline: subprocess.Popen[bytes], status: str = "") -> str | None:
    """Wait for a source's receipt, with this status if one is given; return its status and code."""
    found: list[str] = []

    def there() -> bool:
        for blob in client.list_blobs(FORECASTS, prefix="daily/_dropcast/receipts/"):
            if (blob.metadata or {}).get("dropcast-source") == f"gs://{source}":
                row = json.loads(blob.download_as_text())
                if status not in ("", row["status"]):
                    continue
                found.append(f"{row['status']} {row['code']}".rstrip())
        return bool(found)

    return found[0] if _until(there, pipeline) else None


def _until(ready: Any, pipeline: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline and pipeline.poll() is None:
        if ready():
            return True
        time.sleep(0.05)
    return False


if __name__ == "__main__":
    sys.exit(main())
