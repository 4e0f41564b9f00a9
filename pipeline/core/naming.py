"""Names of outputs, and which local files an input pattern means."""

from __future__ import annotations

import glob
import os
from pathlib import Path, PurePosixPath

from pipeline.errors import RecordError

MANIFEST_SUFFIX = ".manifest.json"
_WILDCARDS = "*?["
_INTERNAL = "_dropcast"


def is_pattern(text: str) -> bool:
    """Return whether a path is a pattern, and not a file whose name has such characters."""
    return any(mark in text for mark in _WILDCARDS) and not Path(text).exists()


def fixed_part(pattern: str) -> Path:
    """Return the folder below which a pattern's outputs keep their names: what precedes its first wildcard."""
    path = Path(os.path.abspath(pattern))  # noqa: PTH100 - resolve() would follow links
    if not is_pattern(pattern):
        return path.parent
    parts = path.parts
    first = next(i for i, part in enumerate(parts) if any(mark in part for mark in _WILDCARDS))
    return Path(*parts[:first])


def matching_files(pattern: str) -> list[Path]:
    """Return the files that a pattern means, sorted; a plain path means itself, whether it exists or not."""
    path = os.path.abspath(pattern)  # noqa: PTH100 - resolve() would follow links
    if not is_pattern(pattern):
        return [Path(path)]
    found = (Path(name) for name in glob.iglob(path, recursive=True))  # noqa: PTH207 - "**" and hidden files
    return sorted(file for file in found if _INTERNAL not in file.parts and not file.is_dir())


def output_name(file: Path, pattern: str) -> str:
    """Return a forecast's name below the output folder: the input's path below the pattern's fixed part."""
    return file.relative_to(fixed_part(pattern)).as_posix()


def checked_output_name(name: str) -> str:
    """Return an output's name that an owner gave.

    Raises:
        RecordError: PATH_NOT_ALLOWED if it is not a plain name below the output folder.
    """
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or parts[0] == _INTERNAL or "\0" in name:
        raise RecordError(
            "PATH_NOT_ALLOWED",
            f"The output {name!r} is not a name below the output folder.",
            "Give a relative name such as sales/north.csv.",
            found=name,
        )
    return PurePosixPath(name).as_posix()


def feeds_itself(pattern: str, output: Path) -> bool:
    """Return whether forecasts written below `output` would be read again by `pattern`."""
    base, root = fixed_part(pattern).resolve(), output.resolve()
    if root == base:
        return True
    return is_pattern(pattern) and "**" in pattern and root.is_relative_to(base)
