"""--setup_file=./setup.py, with which Beam packs this project for workers that do not have it."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

from apache_beam.runners.portability.stager import Stager

ROOT = Path(__file__).parents[2]


def test_beam_packs_all_that_workers_need(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()  # it is built there
    for name in ("pipeline", "templates"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dropcast.py", "setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    archive = Stager._build_setup_package(f"{tree}/setup.py", str(tmp_path))
    with tarfile.open(archive) as packed:
        names = {name.partition("/")[2] for name in packed.getnames()}
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "pipeline").rglob("*.py")}
    assert "pipeline/transforms/forecast.py" in modules
    assert modules <= names
    assert {"dropcast.py", "templates/bigquery/forecasts.json", "pipeline/report/assets/report.js"} <= names
