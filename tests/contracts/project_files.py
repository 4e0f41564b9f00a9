"""The project's own files, with git and without."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.contracts.generated import ROOT


def project_files(root: Path = ROOT) -> list[str]:
    """Return the names of the files that belong to the project, sorted.

    Args:
        root: the top of a clone, or of a tree without .git such as `git archive` makes and Cloud Build gets.
    """
    if (root / ".git").exists():
        listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True, text=True, check=True, cwd=root).stdout
        names = [name for name in listed.split("\0") if name and (root / name).is_file()]
    else:
        names = [os.path.relpath(path, root) for path in _walk(root, _ignored(root))]
    return sorted(names)


def _ignored(root: Path) -> list[str]:
    lines = (root / ".gitignore").read_text().splitlines()
    return [line.rstrip("/") for line in lines if line]


def _walk(folder: Path, ignored: list[str]) -> list[Path]:
    found: list[Path] = []
    for path in folder.iterdir():
        if any(path.match(pattern) for pattern in ignored):
            continue
        found += _walk(path, ignored) if path.is_dir() and not path.is_symlink() else [path]
    return found
