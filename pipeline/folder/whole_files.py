"""Files that appear whole: written among the work files, then renamed into place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


class WholeFiles:
    """Writes files below a folder.

    Args:
        drafts: the folder for files being written, in the same file system as their targets.
    """

    def __init__(self, drafts: Path) -> None:
        self._drafts = drafts

    @contextmanager
    def draft(self, target: Path, name: str = "") -> Iterator[Path]:
        """Yield the path to write to; the file is renamed to `target` afterwards.

        Args:
            target: the final path.
            name: of the draft; by default that of the target and its folder.
        """
        self._drafts.mkdir(parents=True, exist_ok=True)
        draft = self._drafts / f"{name or f'{target.parent.name}-{target.name}'}.whole"
        yield draft
        target.parent.mkdir(parents=True, exist_ok=True)
        draft.replace(target)

    def write(self, target: Path, content: bytes) -> None:
        """Write a file."""
        with self.draft(target) as draft:
            draft.write_bytes(content)

    def write_parquet(self, target: Path, table: pa.Table) -> None:
        """Write a table as Parquet."""
        # neither compression nor dictionaries nor statistics pay for a few rows, nor dictionaries for numbers
        many = table.num_rows > 1000
        texts = [field.name for field in table.schema if pa.types.is_string(field.type)]
        with self.draft(target) as draft:
            pq.write_table(
                table, draft, compression="zstd" if many else "none", compression_level=1 if many else None,
                use_dictionary=texts if many else False, write_statistics=many)  # fmt: skip
