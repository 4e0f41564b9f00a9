"""Files that a command is given: paths, or gs://bucket/name, of which a copy is fetched."""

from __future__ import annotations

from pathlib import Path

from pipeline.commands import OptionsError
from pipeline.commands.sending import needs_clients
from pipeline.core.requests.uris import is_uri
from pipeline.places import local_copy


def local_path(place: str, role: str, scratch: Path) -> Path:
    """Return a local path of a file.

    Args:
        place: a path, or gs://bucket/name.
        role: what the command calls it.
        scratch: a folder for copies.

    Raises:
        OptionsError: if the object does not exist.
    """
    if is_uri(place):
        needs_clients()
    path = local_copy(place, scratch)
    if path is None:
        raise OptionsError([f"{role}: {place} does not exist, or cannot be read"])
    return path
