"""The command line as a person or a script meets it, in a process of its own where that matters."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.cli import COMMANDS
from pipeline.cli import main as dropcast
from tests.conftest import daily_series

WriteCsv = Callable[..., Path]


def call(*arguments: str, stdin: str | None = None, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipeline.cli", *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, cwd=cwd)


def test_help_answers_at_once() -> None:
    fastest = 9.0
    for _ in range(5):
        start = time.perf_counter()
        assert "exit codes" in call("--help").stdout
        fastest = min(fastest, time.perf_counter() - start)
    assert fastest < 0.4


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself_without_traceback(command: str) -> None:
    shown = call(command, "--help")
    assert shown.returncode == 0
    assert "usage:" in shown.stdout
    assert "Traceback" not in shown.stderr


def test_a_forecast_by_default_lies_in_forecasts(write_csv: WriteCsv, tmp_path: Path) -> None:
    write_csv("sales.csv")
    done = call("forecast", "sales.csv", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"complete  sales.csv: 1 series \(D\), MASE \d\.\d\d -> forecasts/sales.csv", done.stdout)
    rows = list(csv.DictReader((tmp_path / "forecasts/sales.csv").open()))
    assert len(rows) == 28
    assert list(rows[0]) == ["date", "prediction", "prediction_lower", "prediction_upper"]
    assert rows[0]["date"] == "2024-03-31"


def test_the_command_line_does_not_import_beam() -> None:
    code = (
        "import sys; from pipeline.cli import main; main(['check', '-', '--json']); "
        "import pipeline.commands.forecast; assert 'apache_beam' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=daily_series(), text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_standard_input_to_standard_output(tmp_path: Path) -> None:
    done = call("forecast", "-", "--horizon=2", stdin=daily_series(), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(list(csv.reader(io.StringIO(done.stdout)))) == 3
    assert list(tmp_path.iterdir()) == []


def test_a_bad_standard_input_writes_nothing_there(tmp_path: Path) -> None:
    done = call("forecast", "-", stdin="date,y\n1,2\n", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (3, "")
    assert "BAD_DATE_FORMAT" in done.stderr


@pytest.mark.usefixtures("naive_engine")
def test_exit_codes_are_as_documented(write_csv: WriteCsv, tmp_path: Path) -> None:
    good, bad, output = write_csv("in/good.csv"), write_csv("in/bad.csv", "x\n1\n"), f"--output={tmp_path}/out"
    assert dropcast(["forecast", str(good), output, "--quiet"]) == 0
    assert dropcast(["forecast", str(good), str(bad), output]) == 3
    assert dropcast(["forecast", str(good), output, "--horizon=0"]) == 2
    assert dropcast(["forecast", str(good), output, "--no_such=0"]) == 2
    assert dropcast(["forecast"]) == 2
    assert dropcast(["nonsense"]) == 2
    assert dropcast([]) == 2
    assert dropcast(["check", str(bad)]) == 3
    assert dropcast(["check", str(good)]) == 0


@pytest.mark.usefixtures("naive_engine")
def test_one_missing_file_does_not_stop_the_others(write_csv: WriteCsv, tmp_path: Path) -> None:
    good = write_csv("in/good.csv")
    assert dropcast(["forecast", f"{tmp_path}/in/gone.csv", str(good), f"--output={tmp_path}/out"]) == 3
    assert (tmp_path / "out/good.csv").exists()


@pytest.mark.usefixtures("naive_engine")
def test_json_is_for_machines(write_csv: WriteCsv, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_csv("in/good.csv")
    write_csv("in/bad.csv", "date,y\n2024-01-01,?\n")
    assert dropcast(["forecast", f"{tmp_path}/in/*", f"--output={tmp_path}/out", "--json"]) == 3
    shown = json.loads(capsys.readouterr().out)
    assert [row["status"] for row in shown["receipts"]] == ["failed", "complete"]
    assert shown["dead_letters"][0]["line"] == 2
    assert dropcast(["check", f"{tmp_path}/in/good.csv", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["frequencies"] == {"D": 1}


def test_several_processes_write_what_one_does(write_csv: WriteCsv, tmp_path: Path) -> None:
    from tests.core.test_output_folder import contents

    for name in ("a", "b", "c"):
        write_csv(f"in/{name}.csv", daily_series(40, seed=ord(name)))
    for workers in ("1", "2"):
        assert (
            call("forecast", f"{tmp_path}/in/*", f"--output={tmp_path}/{workers}", f"--workers={workers}").returncode
            == 0
        )
    assert contents(tmp_path / "1") == contents(tmp_path / "2")


@pytest.fixture
def forecasts(write_csv: WriteCsv, tmp_path: Path, naive_engine: None) -> Path:
    """A folder with forecasts of two stores."""
    rows = "".join(f"{s},2024-01-{d:02d},{d % 7}\n" for s in ("north", "south") for d in range(1, 29))
    write_csv("in/stores.csv", "store,date,y\n" + rows)
    assert (
        dropcast(["forecast", f"{tmp_path}/in/stores.csv", f"--output={tmp_path}/out", "--quiet", "--level=80,95"]) == 0
    )
    return tmp_path / "out"


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_query_answers_in_each_form(form: str, forecasts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sql = "SELECT series_id, count(*) AS n FROM latest_forecasts GROUP BY ALL ORDER BY ALL"
    assert dropcast(["query", sql, f"--output={forecasts}", f"--format={form}"]) == 0
    shown = capsys.readouterr().out
    if form == "csv":
        assert shown == "series_id,n\nnorth,56\nsouth,56\n"
    elif form == "json":
        assert json.loads(shown) == [{"series_id": "north", "n": 56}, {"series_id": "south", "n": 56}]
    else:
        assert "north" in shown


def test_query_without_sql_lists_views_and_examples_that_work(
    forecasts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from pipeline.core.query import EXAMPLES
    from pipeline.core.tables import TABLES, VIEWS

    assert dropcast(["query"]) == 0
    shown = capsys.readouterr().out
    for name in (*TABLES, *VIEWS):
        assert name in shown
    for _, sql in EXAMPLES:
        assert dropcast(["query", sql, f"--output={forecasts}"]) == 0


@pytest.mark.parametrize(
    "sql",
    ["SELEKT 1", "SELECT * FROM nowhere", "DROP VIEW forecasts", "COPY (SELECT 1) TO 'x.csv'",
     "SELECT * FROM read_csv('/etc/passwd')", "SELECT 1; SELECT nonsense"],
)  # fmt: skip
def test_what_query_cannot_answer_it_refuses(sql: str, forecasts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = dropcast(["query", sql, f"--output={forecasts}"])
    shown = capsys.readouterr()
    assert code == 2, shown.out
    assert "SQL: " in shown.err


def test_query_of_a_folder_without_tables_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dropcast(["query", "SELECT 1", f"--output={tmp_path}"]) == 2
    assert "forecast something" in capsys.readouterr().err


def test_query_works_whatever_the_folder_is_called(write_csv: WriteCsv, tmp_path: Path, naive_engine: None) -> None:
    path, output = write_csv(), tmp_path / "it's [a] folder"
    assert dropcast(["forecast", str(path), f"--output={output}", "--quiet"]) == 0
    assert dropcast(["query", "SELECT count(*) FROM latest_forecasts", f"--output={output}"]) == 0


@pytest.mark.parametrize("form", ["png", "svg"])
def test_plot_draws_a_picture_and_the_same_one_again(form: str, forecasts: Path, tmp_path: Path) -> None:
    pictures = [tmp_path / f"{n}.{form}" for n in range(2)]
    for picture in pictures:
        arguments = ["plot", f"{tmp_path}/in/stores.csv", f"{forecasts}/stores.csv", f"--save={picture}"]
        assert dropcast(arguments) == 0
    data = pictures[0].read_bytes()
    assert data.startswith(b"\x89PNG") if form == "png" else b"<svg" in data
    assert data == pictures[1].read_bytes()


def test_plot_reads_the_history_as_it_was_read_for_the_forecast(
    write_csv: WriteCsv, tmp_path: Path, naive_engine: None
) -> None:
    path = write_csv("in/wide.csv", "day;a;b\n" + "".join(f"{d:02d}.01.2024;{d};{d},5\n" for d in range(1, 29)))
    options = ["--value_column=*", "--date_format=%d.%m.%Y", "--decimal=,"]
    assert dropcast(["forecast", str(path), f"--output={tmp_path}/out", "--quiet", *options]) == 0
    assert dropcast(["plot", str(path), f"{tmp_path}/out/wide.csv", f"--save={tmp_path}/wide.png"]) == 0


def test_plot_of_an_unknown_series_names_those_there_are(
    forecasts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["plot", f"{tmp_path}/in/stores.csv", f"{forecasts}/stores.csv", "--series=east"]
    assert dropcast(arguments) == 2
    assert "north, south" in capsys.readouterr().err
