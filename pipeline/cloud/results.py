"""The contents of an output prefix of a bucket, for reading; see pipeline/core/outputs/results.py."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pipeline.cloud import ledger, objects
from pipeline.cloud.dead_letters import BucketDeadLetters
from pipeline.cloud.object_metadata import ObjectMetadata
from pipeline.cloud.receipts import BucketReceipts
from pipeline.cloud.work_files import MAX_OBJECT_BYTES
from pipeline.core.elements import DeadLetter, Receipt
from pipeline.core.errors import RecordError, SupersededError
from pipeline.core.outputs.results import FileResult, LiveAccuracy
from pipeline.core.requests.bigquery_sources import is_query, is_table
from pipeline.core.requests.names import INTERNAL, receipts_place
from pipeline.core.requests.uris import folder_prefix, split_uri

_AT_ONCE = 16


class BucketResults:
    """Results in a bucket.

    Args:
        place: gs://bucket/prefix.
        scratch: a folder for copies of objects.
    """

    def __init__(self, place: str, scratch: Path) -> None:
        self._place, self._scratch = place, scratch
        self._bucket, self._root = split_uri(folder_prefix(place))

    def files(self) -> list[FileResult]:
        """Return the latest result of each source and output, by output."""
        latest: dict[tuple[str, str], tuple[tuple[int, int], str]] = {}
        for blob in objects.listed(self._bucket, f"{self._root}{INTERNAL}/receipts/"):
            found = ObjectMetadata.read(blob)
            if found.status == "superseded":
                continue
            place = (found.source or "", found.output or "")
            if place not in latest or found.rank > latest[place][0]:
                latest[place] = (found.rank, blob.name)
        if not latest:
            raise FileNotFoundError(f"there are no receipts in {self._place}; forecast something into it first")
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            names = [name for _, name in latest.values()]
            read = list(pool.map(self._result, names))
        return sorted((result for result in read if result is not None), key=lambda one: one.receipt.output)

    def _result(self, name: str) -> FileResult | None:
        receipt = BucketReceipts(self._bucket, f"{self._root}{INTERNAL}/receipts/").read_object(name)
        if receipt is None:
            return None  # removed meanwhile
        dead_letters = BucketDeadLetters(self._bucket, f"{self._root}{INTERNAL}/dead_letters/")
        has_letters = receipt.status in ("failed", "partial")
        return FileResult(receipt, dead_letters.read(receipt.request_key) if has_letters else ())

    def strays(self) -> list[DeadLetter]:
        """Return the dead letters of what never became a request."""
        return [letter for found in ledger.BucketLedger(self._place).dead_letters() for letter in _of_message(found)]

    def live_accuracy(self) -> list[LiveAccuracy]:
        """Return nothing: the tables are in BigQuery."""
        return []

    def source(self, receipt: Receipt) -> Path | None:
        """Return a local copy of the CSV that was forecast; None if it is missing or has changed."""
        if is_table(receipt.source) or is_query(receipt.source):
            return None  # BigQuery would bill each look
        return local_copy(receipt.source, self._scratch, receipt.version)

    def forecast(self, receipt: Receipt) -> Path | None:
        """Return a local copy of the forecast; None if it is gone."""
        return local_copy(f"gs://{self._bucket}/{self._root}{receipt.output}", self._scratch)


def _of_message(letters: ledger.BucketLetters) -> Iterator[DeadLetter]:
    if letters.metadata.scope == "message":
        yield from letters.read()


def local_copy(uri: str, scratch: Path, generation: str = "") -> Path | None:
    """Return a local copy of an object, of its current or a given generation; None if that does not exist.

    Args:
        uri: gs://bucket/name.
        scratch: a folder for it.
        generation: which one; "" for the current one.
    """
    if not generation:
        live = objects.live_version(uri)
        if live is None:
            return None
        generation = live.generation
    place = scratch / hashlib.sha256(f"{uri}#{generation}".encode()).hexdigest()[:16]
    target = place / uri.rpartition("/")[2]
    if target.exists():
        return target
    place.mkdir(parents=True, exist_ok=True)
    try:
        with objects.open_object(uri, generation) as file, target.open("wb") as copy:
            while data := file.read(1 << 20):
                copy.write(data)
    except (RecordError, SupersededError):
        target.unlink(missing_ok=True)
        return None
    return target


def options_of_forecast(forecast: str, source: str) -> dict[str, object]:
    """Return the options, by name, that an object was forecast with; empty if it has no receipt.

    Args:
        forecast: gs://bucket/name of the forecast.
        source: gs://bucket/name of what was forecast.
    """
    bucket, name = split_uri(forecast)
    blob = objects.look(bucket, name)
    key = ObjectMetadata.read(blob).key or ""
    parts = name.split("/")
    for depth in range(len(parts)) if key else ():
        root, output = "".join(f"{part}/" for part in parts[:depth]), "/".join(parts[depth:])
        place = f"{root}{INTERNAL}/receipts/{receipts_place(source, output)}/{key}.json"
        content = objects.read_small(bucket, place, MAX_OBJECT_BYTES)
        if content is not None:
            return dict(json.loads(json.loads(content)["spec"]))
    return {}
