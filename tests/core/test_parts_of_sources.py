"""Parts of a local file, and what their versions say."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pipeline.core.sources import DividedSource, HashingReader, content_version


def test_parts_are_read_at_any_place_and_have_versions_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    content = bytes(range(256)) * 5
    path.write_bytes(content)
    bounds = [(0, 100), (100, 101), (101, len(content))]
    with path.open("rb") as file:
        source = HashingReader(file)
        assert isinstance(source, DividedSource)
        assert source.read(7) == content[:7], "a part does not disturb who reads the whole"
        assert source.size() == len(content)
        parts = [source.part(*own) for own in reversed(bounds)]
        assert [part.read(3) for part in parts] == [content[101:104], content[100:101], content[:3]]
        assert parts[0].read() == content[104:]
        assert parts[0].read(5) == b""
        versions = [hashlib.sha256(content[start:end]).hexdigest() for start, end in bounds]
        assert [part.version() for part in reversed(parts)] == versions, "of all bytes, however many were read"
        assert source.read() == content[7:]
        assert source.versions(bounds) == (content_version(path), versions)
