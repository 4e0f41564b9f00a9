"""Files that a command is given: paths, or gs://bucket/name, of which a copy is fetched."""

from __future__ import annotations

from pathlib import Path

from pipeline.commands import OptionsError
from pipeline.commands.sending import needs_clients
from pipeline.core.requests.uris import is_uri
from pipeline.folder.receipts import spec_of_forecast


def local_path(place: str, role: str, scratch: Path) -> Path:
    """Return a local path of a file.

    Args:
        place: a path, or gs://bucket/name.
        role: what the command calls it.
        scratch: a folder for copies.

    Raises:
        OptionsError: if the object does not exist.
    """
    if not is_uri(place):
        return Path(place)
    needs_clients()
    from pipeline.cloud.results import local_copy

    copy = local_copy(place, scratch)
    if copy is None:
        raise OptionsError([f"{role}: {place} does not exist, or cannot be read"])
    return copy


def options_of_forecast(forecast: str, history: str) -> dict[str, object]:
    """Return the options, by name, that a file was forecast with; empty if it has no receipt."""
    if is_uri(forecast) and is_uri(history):
        from pipeline.cloud import results as bucket_results

        return bucket_results.options_of_forecast(forecast, history)
    return {} if is_uri(forecast) or is_uri(history) else spec_of_forecast(Path(forecast), Path(history))
