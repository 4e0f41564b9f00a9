"""The work files of a request in a bucket: rows of a large file, and parts of its forecast."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from pipeline.cloud import objects
from pipeline.cloud.clients import storage_client
from pipeline.cloud.retry import CALL, again
from pipeline.core.io_faults import io
from pipeline.core.outputs.outcomes import BlockSummary
from pipeline.core.requests.uris import uri_of
from pipeline.core.scratch import process_folder, scratch_folder

MAX_OBJECT_BYTES = 256 << 20  # of one of our own objects that is read whole
MAX_STATE_BYTES = 1 << 32  # of what was found in a range, or of the blocks of a file
READ_AT_ONCE = 8  # parts of work files
PARQUET_TYPE, JSON_TYPE = "application/vnd.apache.parquet", "application/json"


class BucketWorkFiles:
    """The work files of one reading of a request.

    Args:
        bucket: where they are.
        prefix: below which they are.
        reading: identifies this reading of the file.
    """

    def __init__(self, bucket: str, prefix: str, reading: str) -> None:
        self._bucket, self._reading = bucket, reading
        self.prefix = f"{prefix}{reading}/"

    @property
    def folder(self) -> Path:
        """The local folder into which a worker writes them."""
        return process_folder(os.getpid()) / f"load-{self._reading}"

    def share(self) -> None:
        """Upload them to the bucket."""
        with io():
            for path in sorted(self.folder.iterdir()):
                self._upload(path)
            shutil.rmtree(self.folder)

    def _upload(self, path: Path) -> None:
        blob = storage_client().bucket(self._bucket).blob(self.prefix + path.name)
        again(blob.upload_from_filename, str(path), timeout=CALL, retry=None)

    def discard(self) -> None:
        """Remove this worker's local copies."""
        shutil.rmtree(self.folder, ignore_errors=True)

    @contextmanager
    def open(self, name: str) -> Iterator[Path]:
        """Return a local copy of one."""
        blob = storage_client().bucket(self._bucket).blob(self.prefix + name)
        with scratch_folder() as folder:
            path = folder / name
            with io():
                blob.download_to_filename(str(path), **objects.OPTIONS)
            yield path

    def write(self, name: str, write: Callable[[Path], object]) -> None:
        """Make one that appears whole; see output.WorkFiles."""
        with scratch_folder() as folder:
            path = folder / name
            with io(OSError):
                write(path)
            with io():
                self._upload(path)

    def read(self, name: str) -> bytes | None:
        """Return the content of one; None if there is none."""
        return objects.read_small(self._bucket, self.prefix + name, MAX_STATE_BYTES)

    def read_parts(self, parts: Sequence[tuple[str, int, int]]) -> list[bytes]:
        """Return parts of several; see output.WorkFiles."""

        def read(part: tuple[str, int, int]) -> bytes:
            name, start, size = part
            return objects.read_part(self._bucket, self.prefix + name, start, start + size)

        with ThreadPoolExecutor(READ_AT_ONCE) as pool:
            return list(pool.map(read, parts))

    def write_rows(self, table: str, part: int, parquet: bytes) -> None:
        """Keep a part's rows of a table, until they are loaded."""
        objects.put(self._bucket, f"{self.prefix}{_rows_name(table, part)}", parquet, PARQUET_TYPE)

    def rows_uri(self, table: str, part: int) -> str:
        """Return where a part's rows of a table are."""
        return uri_of(self._bucket, self.prefix + _rows_name(table, part))

    def write_part(self, part: int, csv: bytes, content_type: str, summary: BlockSummary) -> None:
        """Keep a part's rows of the CSV and its summary."""
        objects.put(self._bucket, self.csv_name(part), csv, content_type)
        objects.put(self._bucket, self._summary_name(part), summary.to_json().encode(), JSON_TYPE)

    def summary(self, part: int) -> BlockSummary | None:
        """Return the summary of a part; None if there is none."""
        content = objects.read_small(self._bucket, self._summary_name(part), MAX_OBJECT_BYTES)
        return None if content is None else BlockSummary.from_json(content)

    def csv_name(self, part: int) -> str:
        """Return the name of the object with a part's rows of the CSV."""
        return f"{self.prefix}part-{part:06d}.csv"

    def remove_ranges(self) -> None:
        """Remove all: another reading of the file has others."""
        self.remove()

    def remove(self) -> None:
        """Remove them from the bucket."""
        objects.delete_below(self._bucket, self.prefix)

    def _summary_name(self, part: int) -> str:
        return f"{self.prefix}part-{part:06d}.json"


def _rows_name(table: str, part: int) -> str:
    return f"{table}-{part:06d}.parquet"
