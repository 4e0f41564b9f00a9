"""What must agree because it is written in two places."""

from __future__ import annotations

import argparse
import ast
import importlib
import inspect
import itertools
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import jsonschema
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from pipeline.cli import COMMANDS
from pipeline.core.elements import DeadLetter, Receipt
from pipeline.core.errors import CODES
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.outputs.tables import TABLES, VIEWS, table_fields, view_sql
from pipeline.core.spec_limits import LIMIT_OF_CODE, refuse_costly
from pipeline.options import OPTIONS_IN_GROUP, RunOptions
from tests.contracts.generated import ROOT, up_to_date
from tests.contracts.project_files import project_files
from tests.mutation.mutants import mutants_of
from tests.mutation.paired_tests import LEFT_OUT, PAIRED

PACKAGE = ROOT / "pipeline"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.mark.parametrize("name", sorted(up_to_date()))
def test_generated_files_are_up_to_date(name: str) -> None:
    found = (ROOT / name).read_text() if (ROOT / name).exists() else ""
    assert found == up_to_date()[name], f"{name} is out of date; if the change is meant: make generated"


def test_the_core_imports_neither_beam_nor_a_cloud_client() -> None:
    paths = [path for path in (PACKAGE / "core").rglob("*.py") if path.stem != "__init__"]
    assert len(paths) > 80
    modules = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths]
    code = f"import sys, importlib; [importlib.import_module(m) for m in {modules}]; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not [name for name in loaded if name.startswith(("apache_beam", "google.cloud"))]


def test_the_graph_is_one_page_without_logic() -> None:
    source = (PACKAGE / "graph.py").read_text()
    assert len(source.splitlines()) <= 60
    logic = (ast.If, ast.For, ast.While, ast.Try, ast.Lambda)
    assert not [node for node in ast.walk(ast.parse(source)) if isinstance(node, logic)]


def test_rows_have_the_columns_of_their_schemas() -> None:
    for table, element in (("receipts", Receipt), ("dead_letters", DeadLetter)):
        assert [field["name"] for field in table_fields(table)] == list(element.__dataclass_fields__)


def test_schemas_are_bigquerys() -> None:
    for table in TABLES:
        for field in table_fields(table):
            assert set(field) == {"name", "type", "mode", "description"}
            assert field["type"] in {"STRING", "INTEGER", "FLOAT", "BOOLEAN", "TIMESTAMP"}
            assert field["mode"] in {"REQUIRED", "NULLABLE"}
            assert len(field["description"]) <= 1024
            assert field["description"].endswith(".")


@pytest.mark.parametrize("view", VIEWS)
def test_views_are_valid_in_both_dialects_and_named_in_order(view: str) -> None:
    import sqlglot
    from sqlglot import exp

    for dialect in ("bigquery", "duckdb"):
        sqlglot.parse_one(sqlglot.transpile(view_sql(view), read="bigquery", write=dialect)[0], read=dialect)
    query = sqlglot.parse_one(view_sql(view), read="bigquery")
    own = {part.alias for part in query.find_all(exp.CTE)}
    used = {table.name for table in query.find_all(exp.Table)} - own
    assert used <= {*TABLES, *VIEWS[: VIEWS.index(view)]}
    assert not own & {*TABLES, *VIEWS}, "these names would be qualified with the dataset"
    assert view_sql(view).startswith("-- ")


@pytest.mark.parametrize("view", VIEWS)
def test_no_view_partitions_by_a_float_which_bigquery_refuses(view: str) -> None:
    import sqlglot
    from sqlglot import exp

    floats = {field["name"] for table in TABLES for field in table_fields(table) if field["type"] == "FLOAT"}
    assert "confidence_level" in floats
    for window in sqlglot.parse_one(view_sql(view), read="bigquery").find_all(exp.Window):
        for key in window.args.get("partition_by") or []:
            assert not (isinstance(key, exp.Column) and key.name in floats), f"{view}: cast {key.name} to STRING"


def test_the_manifests_schema_accepts_and_refuses_as_the_pipeline_does() -> None:
    schema = json.loads((ROOT / "templates/manifest.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    check = jsonschema.Draft202012Validator(schema).is_valid
    assert check({"input": "x.csv", "horizon": 7, "level": [80, 95], "yearly_seasonality": "auto"})
    assert not check({"input": "x.csv", "horizn": 7})
    assert not check({"horizon": 7})
    assert not check({"input": "x.csv", "horizon": 0})


@pytest.mark.parametrize("document", ["README.md", "docs/options.md"])
def test_options_that_a_document_names_exist(document: str) -> None:
    beams = {"runner", "direct_num_workers", "direct_running_mode", "prism_location", "environment_type"}
    commands = {"save", "series", "format", "json", "quiet", "workers", "help", "version", "periods"}
    options = set(RunOptions.model_fields)
    known = {*ForecastSpec.model_fields, *Limits.model_fields, *options, *beams, *commands}
    text = re.sub(r"^gcloud .*?^```", "", (ROOT / document).read_text(), flags=re.MULTILINE | re.DOTALL)
    named = set(re.findall(r"--([a-z][a-z_]+)(?=[=`' ])", text))
    assert named - known == set()


@pytest.mark.parametrize("command", COMMANDS)
def test_each_option_of_a_command_is_in_the_command_reference_with_its_help(command: str) -> None:
    text = (ROOT / "docs/commands.md").read_text()
    own = text.partition(f"\n## {command}\n")[2].partition("\n## ")[0]
    shared = text.partition("\n## Options of a forecast\n")[2]
    assert own
    assert shared
    parser = importlib.import_module(f"pipeline.commands.{command}").parser()
    for action in parser._actions:
        assert action.help, action
        for name in action.option_strings or [str(action.metavar)]:
            assert re.search(rf"^  (-h, )?{re.escape(name)}\b", own + shared, re.MULTILINE), name


def test_each_option_of_a_command_is_in_the_readme_or_the_options_page() -> None:
    text = (ROOT / "docs/options.md").read_text()
    for command in ("forecast", "check", "plot", "query"):
        source = (PACKAGE / "commands" / f"{command}.py").read_text()
        for option in re.findall(r'add_argument\("(--[a-z_]+)"', source):
            assert f"`{option}`" in text, f"{option} of dropcast {command} is not documented"
    text = (ROOT / "docs/delivery.md").read_text()
    for command in ("reconcile", "replay", "sending"):
        source = (PACKAGE / "commands" / f"{command}.py").read_text()
        for option in re.findall(r'add_argument\("(--[a-z_]+)"', source):
            assert option in text, f"{option} of dropcast {command} is not documented"


def test_each_code_is_used_and_each_used_code_is_listed() -> None:
    listed = PACKAGE / "core/errors.py"
    assert listed.is_file()
    source = "\n".join(path.read_text() for path in PACKAGE.rglob("*.py") if path != listed)
    built = {f"{kind}_{role}_COLUMN" for kind in ("NO", "AMBIGUOUS") for role in ("DATE", "VALUE")}
    raised = set(re.findall(r'RecordError\(\s*"([A-Z][A-Z_]+)"', source))
    assert len(raised) > 20
    assert raised - set(CODES) == set()
    assert set(CODES) - set(re.findall(r'"([A-Z][A-Z_]{5,})"', source)) - built == set()


def test_the_code_of_each_error_about_the_cost_of_options_has_its_limit() -> None:
    tree = ast.parse(inspect.getsource(refuse_costly))
    codes = {
        node.args[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "RecordError"
    }
    assert codes == set(LIMIT_OF_CODE)
    assert set(LIMIT_OF_CODE.values()) <= set(Limits.model_fields)


def test_each_option_of_a_forecast_has_one_group() -> None:
    assert sorted(itertools.chain(*OPTIONS_IN_GROUP.values())) == sorted(ForecastSpec.model_fields)


def test_no_option_has_the_name_of_one_of_beams() -> None:
    """Beam's options may be given beside ours; argparse refuses two of one name."""
    beams: set[str] = set()
    for options in PipelineOptions.__subclasses__():
        if options.__module__.startswith("apache_beam."):
            parser = argparse.ArgumentParser()
            options._add_argparse_args(parser)
            beams |= {name.lstrip("-") for action in parser._actions for name in action.option_strings}
    assert {"runner", "label", "temp_location"} <= beams
    for model in (RunOptions, ForecastSpec, Limits):
        assert set(model.model_fields) & beams == set()


def test_beams_version_is_stated_once() -> None:
    stated = [d for d in PROJECT["project"]["dependencies"] if d.startswith("apache-beam")]
    assert len(stated) == 1
    version = stated[0].partition("==")[2]
    elsewhere = [
        name for name in project_files()
        if not name.endswith((".lock", ".csv", ".gz")) and name not in ("pyproject.toml", "Dockerfile")
        and version in (ROOT / name).read_text(errors="ignore")
    ]  # fmt: skip
    assert elsewhere == []


def test_locks_pin_every_dependency_with_hashes() -> None:
    for lock in ("requirements.lock", "requirements-dev.lock"):
        text = (ROOT / lock).read_text()
        pins = re.findall(r"^([\w.-]+)==\S+", text, re.MULTILINE)
        assert len(pins) > 40
        assert text.count("--hash=sha256:") >= len(pins)
        assert "://" not in text
    for dependency in PROJECT["project"]["dependencies"]:
        name = re.split(r"[<>=\[]", dependency)[0]
        assert name in re.findall(r"^([\w.-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE)


def _recipes_that_install_locks() -> list[tuple[str, str]]:
    """Return name and text of each recipe (of make, the Dockerfile, a script, a program) that installs a lock."""
    recipes = []
    for name in project_files():
        if name.endswith((".md", ".lock", ".txt", ".json")) or name == "tests/contracts/test_contracts.py":
            continue
        text = (ROOT / name).read_text(errors="ignore").replace("\\\n", " ")
        if name == "Makefile" or name.endswith(".mk"):
            parts = re.split(r"\n(?=\S)", text)
        elif name == "Dockerfile":
            parts = re.split(r"\n(?=[A-Z]+ )", text)
        else:
            parts = re.split(r"\n(?=def )", text)
        recipes += [(name, part) for part in parts if re.search(r"install[^\n]*--require-hashes", part)]
    return recipes


def test_each_install_of_a_lock_takes_the_lock_as_it_is_and_is_checked() -> None:
    recipes = _recipes_that_install_locks()
    assert {name for name, _ in recipes} >= {"Makefile", "Dockerfile", "tests/local_cloud/install.py"}
    assert sum(name == "Makefile" for name, _ in recipes) == 4
    for name, recipe in recipes:
        for command in re.findall(r"[^\n&]*install[^\n&]*--require-hashes[^\n&]*", recipe):
            assert "--no-deps" in command, f"{name}: {command.strip()}"
        after = recipe[recipe.rindex("--require-hashes") :]
        assert re.search(r"pip check|pip, \"check\"", after), f"{name} does not check what it has installed"


def test_the_projects_files_are_the_same_without_git(tmp_path: Path) -> None:
    for name in ("a.py", "deep/b.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for name in (".venv/lib/c.py", "deep/__pycache__/d.pyc", "site/index.html", "x.egg-info/PKG-INFO"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    (tmp_path / ".gitignore").write_text((ROOT / ".gitignore").read_text())
    assert project_files(tmp_path) == [".gitignore", "a.py", "deep/b.py"]
    assert "pipeline/graph.py" in project_files()


def test_modules_have_names_that_say_something_and_stay_small() -> None:
    for path in PACKAGE.rglob("*.py"):
        assert path.stem not in {"utils", "util", "helpers", "common", "misc", "types", "csv", "proto"}
        assert len(path.read_text().splitlines()) <= 600, path


def test_nothing_names_a_path_of_a_machine() -> None:
    for name in project_files():
        if name.endswith((".py", ".md", ".toml", ".json", ".sql")):
            assert not re.search(r"(?<![\w.])/(home|root|work|Users)/", (ROOT / name).read_text()), name


def test_the_mutation_run_names_modules_and_tests_that_there_are() -> None:
    for module, tests in PAIRED.items():
        source = (ROOT / "pipeline" / module).read_bytes()
        mutants = mutants_of(source)
        assert mutants
        assert all(ast.dump(ast.parse(one.source)) != ast.dump(ast.parse(source)) for one in mutants[:5])
        assert all((ROOT / test).is_file() for test in tests)
    for path, _, name in (test.partition("::") for test in LEFT_OUT):
        assert f"def {name}(" in (ROOT / path).read_text()


def test_setup_py_is_a_stub() -> None:
    assert len((ROOT / "setup.py").read_text().splitlines()) < 8


def test_readme_names_each_document() -> None:
    readme = (ROOT / "README.md").read_text()
    for path in (ROOT / "docs").glob("*.md"):
        assert f"docs/{path.name}" in readme
    assert Path(ROOT / "CHANGELOG.md").exists()


def test_metrics_are_those_that_are_documented_and_used() -> None:
    from pipeline.metrics import COUNTERS, DISTRIBUTIONS

    text = (ROOT / "docs/how-it-works.md").read_text()
    source = "\n".join(path.read_text() for path in (PACKAGE / "transforms").glob("*.py"))
    for name in (*COUNTERS, *DISTRIBUTIONS):
        assert f"`{name}`" in text
        assert f'"{name}"' in source or name.startswith("receipts_") or name == "retries"
    for name in re.findall(r'Metrics\.(?:counter|distribution)\(NAMESPACE, "(\w+)"', source):
        assert name in (*COUNTERS, *DISTRIBUTIONS)


def test_the_package_brings_its_templates_along() -> None:
    packaged = PROJECT["tool"]["setuptools"]
    assert packaged["package-dir"]["pipeline.templates"] == "templates"
    assert "bigquery/*.sql" in packaged["package-data"]["pipeline.templates"]


def test_the_docs_say_what_becomes_of_each_of_prophets_options() -> None:
    from prophet import Prophet

    text = (ROOT / "docs/prophet.md").read_text()
    listed = re.findall(r"^\| `(\w+)`", text, re.MULTILINE)
    constructor = [name for name in inspect.signature(Prophet.__init__).parameters if name != "self"]
    assert listed[: len(constructor)] == constructor
    assert {"add_seasonality", "add_regressor", "add_country_holidays"} <= set(listed)
    ours = re.findall(r"^\| `\w+` \| `--(\w+)", text, re.MULTILINE)
    assert set(ours) <= {*ForecastSpec.model_fields}


def test_a_checkout_runs_whatever_is_installed_beside_it(tmp_path: Path) -> None:
    """`python -m pipeline.main` in a clone takes the clone's package, in which templates/ is not; it is beside it."""
    for name in ("pipeline", "templates"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    script = "from pipeline.core.outputs import tables; print(tables.__file__); print(tables.view_sql('accuracy'))"
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    where, _, sql = done.stdout.partition("\n")
    assert Path(where).is_relative_to(tmp_path)
    assert sql.strip() == (ROOT / "templates/bigquery/accuracy.sql").read_text().strip()
