"""The command line as a person or a script meets it, in a process of its own where that matters."""

from __future__ import annotations

import contextlib
import csv
import importlib
import io
import json
import os
import random
import re
import shlex
import shutil
import subprocess
import sys
import termios
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


def test_help_loads_nothing_that_is_slow_to_load() -> None:
    code = "import sys; from pipeline.cli import main; main(['--help']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "exit codes" in done.stdout
    loaded = {name.partition(".")[0] for name in done.stderr.split()}
    assert "pipeline" in loaded
    assert not loaded & {"apache_beam", "duckdb", "google", "matplotlib", "numba", "numpy", "pandas", "prophet",
                         "pyarrow", "pydantic"}  # fmt: skip


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
    write_csv("in/bad.csv", "date,y\n2024-01-01,x\n")
    assert dropcast(["forecast", f"{tmp_path}/in/*", f"--output={tmp_path}/out", "--json"]) == 3
    shown = json.loads(capsys.readouterr().out)
    assert [row["status"] for row in shown["receipts"]] == ["failed", "complete"]
    assert shown["dead_letters"][0]["line"] == 2
    assert dropcast(["check", f"{tmp_path}/in/good.csv", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["frequencies"] == {"D": 1}


def test_several_processes_write_what_one_does(write_csv: WriteCsv, tmp_path: Path) -> None:
    from tests.folder_contents import contents

    for name in ("a", "b", "c"):
        write_csv(f"in/{name}.csv", daily_series(40, seed=ord(name)))
    for workers in ("1", "2"):
        assert (
            call("forecast", f"{tmp_path}/in/*", f"--output={tmp_path}/{workers}", f"--workers={workers}").returncode
            == 0
        )
    assert contents(tmp_path / "1") == contents(tmp_path / "2")


def test_several_processes_write_the_parts_of_a_large_file_as_one_does(tmp_path: Path) -> None:
    from tests.folder_contents import contents

    rows = [f'"north, {series}","{line.split(",")[0]}",{line.split(",")[1]}\n'
            for series in range(1300) for line in daily_series(20, seed=series).splitlines()[1:]]  # fmt: skip
    random.Random(3).shuffle(rows)
    rows[100] = '"north, 7","2024-01-09",a lot\n'
    rows[7000] = '"north, 900","no date",1\n'
    (tmp_path / "many.csv").write_text("store,date,y\n" + "".join(rows))
    for workers in ("1", "2"):
        given = (f"{tmp_path}/many.csv", f"--output={tmp_path}/{workers}", f"--workers={workers}", "--history")
        assert call("forecast", *given).returncode == 3
    one, two = contents(tmp_path / "1"), contents(tmp_path / "2")
    assert one == two
    assert (tmp_path / "1/many.csv").read_text().count("\n") == 1 + 28 * 1298
    assert sum("/forecasts/" in name for name in one) == 3, "it is of three blocks"


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
    from pipeline.core.outputs.tables import TABLES, VIEWS
    from pipeline.folder.query import EXAMPLES

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


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example_that_the_command_understands(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with contextlib.suppress(SystemExit):
        assert dropcast([command, "--help"]) == 0
    text = capsys.readouterr().out
    examples = text[text.rindex("\nexample") :].replace("\\\n", " ").splitlines()
    lines = [line.strip() for line in examples if line.startswith("  ")]
    assert lines
    for line in lines:
        words = shlex.split(line.removeprefix('eval "$(').removesuffix(')"'))
        assert words[:2] == ["dropcast", command] or words[:3] == ["python", "-m", "pipeline.main"]
        known = importlib.import_module(f"pipeline.commands.{command}").parser()
        _, unknown = known.parse_known_args(words[2:] if words[0] == "dropcast" else words[3:])
        assert [word for word in unknown if word != "--runner=DirectRunner"] == []


def test_a_mistyped_command_is_answered_with_the_one_that_was_meant(capsys: pytest.CaptureFixture[str]) -> None:
    assert dropcast(["forcast", "x.csv"]) == 2
    assert "did you mean forecast?" in capsys.readouterr().err


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed")
def test_bash_completes_commands_options_and_what_they_take(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from pipeline.commands import completion

    assert completion.main([]) == 0
    script = tmp_path / "completion.sh"
    script.write_text(capsys.readouterr().out)

    def completed(*words: str) -> list[str]:
        quoted = " ".join(shlex.quote(word) for word in ("dropcast", *words))
        ask = f"source {script}; COMP_WORDS=({quoted}); COMP_CWORD={len(words)}; _shtab_dropcast"
        ask += "; echo ${COMPREPLY[@]}"
        return subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True).stdout.split()

    assert completed("re") == ["report", "reconcile", "replay"]
    assert "--horizon" in completed("forecast", "--ho")
    assert completed("forecast", "--engine", "") == ["native", "stan"]
    assert completion.main(["fish"]) == 2


def test_colours_and_progress_are_for_terminals(write_csv: WriteCsv, tmp_path: Path) -> None:
    """The same command on a terminal and into a pipe."""
    lines = [f"{s},{line}" for s in range(600) for line in daily_series(30, seed=s % 7).splitlines()[1:]]
    write_csv("in/a.csv", "store,date,y\n" + "\n".join(lines) + "\n")
    write_csv("in/b.csv", "date,y\n")
    command = [sys.executable, "-m", "pipeline.cli", "forecast", f"{tmp_path}/in/*", f"--output={tmp_path}/out"]
    piped = subprocess.run(command, capture_output=True, text=True)
    assert "\033" not in piped.stdout
    assert piped.stderr == ""
    for variables, coloured in (({}, True), ({"NO_COLOR": "1"}, False)):
        shown, end = os.openpty()
        termios.tcsetwinsize(end, (40, 120))
        environment = {**os.environ, "TERM": "xterm", **variables}
        environment.pop("NO_COLOR", None) if coloured else None
        with subprocess.Popen(command, stdout=end, stderr=end, env=environment):
            os.close(end)
            text = read_all(shown)
        assert ("\033[31mfailed" in text) is coloured
        assert "% |" in text  # the bar, which estimates
        assert "to go" in text


def read_all(terminal: int) -> str:
    parts = []
    with contextlib.suppress(OSError):  # how a terminal says that nobody writes to it any more
        while part := os.read(terminal, 65536):
            parts.append(part)
    os.close(terminal)
    return b"".join(parts).decode()
