"""What the documents show is what comes of it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import DOCUMENTS, ROOT, examples, is_as_shown, run_command, run_python

SERVED = "docs/service.md"  # its examples need the service: tests/service/test_examples.py
PAGES = [name for name in DOCUMENTS if name != SERVED and any(examples((ROOT / name).read_text()))]


@pytest.mark.parametrize("page", PAGES)
def test_examples_of_a_page_give_what_it_shows(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "docs/cookbook/data.py", tmp_path)
    names: dict[str, Any] = {}
    for kind, code, shown in examples((ROOT / page).read_text()):
        if kind == "python":
            printed = run_python(code, names)
        else:
            status, printed = run_command(code)
            assert status == 0 or (status in (2, 3) and shown), f"{page}: {code}\nended with {status}:\n{printed}"
        assert shown is None or is_as_shown(shown, printed), f"{page}: {code}\nprinted\n{printed}\nbut shows\n{shown}"


def test_each_recipe_has_examples() -> None:
    recipes = [name for name in DOCUMENTS if name.startswith("docs/cookbook/")]
    assert len(recipes) >= 4
    assert set(recipes) <= set(PAGES)


def test_what_is_shown_is_held_against_what_is_printed() -> None:
    assert is_as_shown("a  1.00 %\n", "a 1.01 %\n")
    assert not is_as_shown("a 1.00 %\n", "a 1.10 %\n")
    assert not is_as_shown("3 series\n", "4 series\n")
    assert is_as_shown("first\n...\nlast\n", "first\n1\n2\nlast\n")
    assert is_as_shown("took ... s\n", "took 0.5 s\n")
    assert not is_as_shown("first\n", "first\nsecond\n")
