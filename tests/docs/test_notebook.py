"""The example notebook runs, cell after cell, and is kept without outputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import ROOT, run_python

NOTEBOOK = json.loads((ROOT / "examples/notebook.ipynb").read_text())
CODE = ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]


def test_all_cells_run_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for code in CODE:
        run_python(code, names)
    assert all(f"dropcast.{name}(" in "\n".join(CODE) for name in ("check", "forecast", "plot", "backtest", "fit"))


def test_it_is_kept_without_outputs() -> None:
    for cell in NOTEBOOK["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None
