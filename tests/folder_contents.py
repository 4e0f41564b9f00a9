"""What a folder holds, so that two runs can be held against each other."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pipeline.core.requests.names import INTERNAL


def contents(folder: Path) -> dict[str, str]:
    """Return the hash of each file but the receipts, which have times in them."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "receipts" not in path.parts
    }


def forecasts_and_notes(folder: Path) -> dict[str, bytes]:
    """Return the forecasts and notes below a folder, by name."""
    files = [path for path in folder.rglob("*") if path.is_file() and INTERNAL not in path.parts]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
