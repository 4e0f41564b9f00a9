"""Every file in tests/csv_cases: NAME.csv is checked with the options in NAME.json, which says what must be found.

To add a case, add the two files. In the JSON, `options` are those of the command line, and `expect` says what `dropcast
check` must find, by its names; what it leaves out may be anything. A file that is refused has a `first_problem` there,
with any fields of that dead letter, and with `hint_has`, some words of its hint.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.commands.check import check_csv
from pipeline.options import spec_from

CASES = Path(__file__).parents[2] / "csv_cases"


@pytest.mark.parametrize("name", sorted(path.stem for path in CASES.glob("*.json")))
def test_case_is_found_to_be_as_its_json_says(name: str, tmp_path: Path) -> None:
    case = json.loads((CASES / f"{name}.json").read_text())
    csv = next(path for path in CASES.glob(f"{name}.csv*"))
    spec, limits, problems = spec_from(case["options"])
    assert problems == []
    found = check_csv(csv, spec, limits, tmp_path / "work")
    expected = case["expect"]
    problem = expected.pop("first_problem", None)
    if problem is not None:
        first = found["first_problems"][0]
        hint = problem.pop("hint_has", "")
        assert {name: first[name] for name in problem} == problem
        assert hint in first["hint"]
        assert first["message"].endswith((".", "…"))
        assert first["hint"].endswith(".")
    elif found["first_problems"]:
        pytest.fail(f"refused: {found['first_problems'][0]}")
    assert {name: found[name] for name in expected} == expected


def test_each_csv_has_its_json() -> None:
    stems = {path.name.split(".")[0] for path in CASES.iterdir()}
    assert stems == {path.stem for path in CASES.glob("*.json")}
