"""From a file to its request."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline.core.elements import DeadLetter, Request
from pipeline.core.errors import RecordError
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.requests.local_files import InputFile, request_for, stray_letter
from pipeline.folder.output import FolderOutput


def request_or_letter(
    file: InputFile, spec: ForecastSpec, allowed: Sequence[Path], folder: FolderOutput
) -> Request | DeadLetter:
    """Return the request for a CSV or a manifest, or the dead letter of an invalid manifest.

    Args:
        file: the file.
        spec: the operator's options.
        allowed: folders that a manifest may name files in.
        folder: the output; it keeps tracebacks.
    """
    try:
        return request_for(file, spec, list(allowed), folder.keep_traceback)
    except RecordError as error:
        return stray_letter(file, error)


def taken_letter(file: InputFile, taker: str) -> DeadLetter:
    """Return the dead letter of a file whose forecast would overwrite that of another.

    Args:
        file: the file.
        taker: path of the other one.
    """
    error = RecordError(
        "OUTPUT_TAKEN", f"Its forecast would overwrite that of {taker}.", "Name another output in the manifest."
    )
    return stray_letter(file, error)
