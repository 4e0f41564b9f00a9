"""The whole pipeline on real runners, held against the command line."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from pipeline import main
from pipeline.cli import main as dropcast
from pipeline.folder.query import connect
from tests.conftest import daily_series
from tests.folder_contents import contents

WriteCsv = Callable[..., Path]
PRISM = shutil.which("prism") or os.environ.get("PRISM", "")


@pytest.fixture
def inbox(write_csv: WriteCsv, tmp_path: Path) -> Path:
    """A good file, one in a subfolder, a bad one, a partial one, one of three blocks, and a manifest."""
    write_csv("in/good.csv", days=60)
    write_csv("in/north/wide.csv", "date,a,b\n" + "".join(f"2024-01-{d:02d},{d},{d * 2}\n" for d in range(1, 25)))
    write_csv("in/bad.csv", "date,y\n01/02/2024,5\n")
    write_csv("in/partial.csv", daily_series(30, header="date,y").replace("date,y", "date,y") + "2024-01-05,77\n")
    stores = "".join(f"{s},2024-01-{d:02d},{s + d % 7}\n" for s in range(130) for d in range(1, 22))
    write_csv("in/stores.csv", "store,date,y\n" + stores + "999,2024-01-01,5\n")
    write_csv("in/wide.manifest.json", '{"id": "w", "input": "north/wide.csv", "value_column": "*", "output": "w.csv"}')
    return tmp_path / "in"


@pytest.mark.usefixtures("naive_engine")
@pytest.mark.parametrize("runner", ["DirectRunner", "FnApiRunner"])
def test_the_pipeline_writes_just_what_the_command_line_writes(runner: str, inbox: Path, tmp_path: Path) -> None:
    options = ["--horizon=5", "--level=80,95"]
    code = main.main([f"--input={inbox}/**/*", f"--output={tmp_path}/beam", f"--runner={runner}", *options])
    assert code == 3
    assert dropcast(["forecast", f"{inbox}/**/*", f"--output={tmp_path}/core", *options]) == 3
    assert contents(tmp_path / "beam") == contents(tmp_path / "core")
    assert {name for name in contents(tmp_path / "beam") if not name.startswith("_")} == {
        "good.csv",
        "stores.csv",
        "w.csv",
    }
    statuses = "SELECT output, status, series_forecast, series_failed, code, id FROM receipts ORDER BY output"
    expected = [
        ("bad.csv", "failed", 0, 0, "BAD_DATE_FORMAT", ""), ("good.csv", "complete", 1, 0, "", ""),
        ("partial.csv", "failed", 0, 0, "DUPLICATE_DATE", ""), ("stores.csv", "partial", 130, 1, "", ""),
        ("w.csv", "complete", 2, 0, "", "w"),
    ]  # fmt: skip
    for output in ("beam", "core"):
        assert connect(tmp_path / output).sql(statuses).fetchall() == expected


def test_with_the_real_engine_they_agree_to_the_byte_too(write_csv: WriteCsv, tmp_path: Path) -> None:
    write_csv("in/good.csv", days=60)
    assert main.main([f"--input={tmp_path}/in/*", f"--output={tmp_path}/beam", "--score"]) == 0
    assert dropcast(["forecast", f"{tmp_path}/in/good.csv", f"--output={tmp_path}/core", "--score"]) == 0
    assert contents(tmp_path / "beam") == contents(tmp_path / "core")
    scores = [connect(tmp_path / o).sql("SELECT score_mase FROM receipts").fetchall() for o in ("beam", "core")]
    assert scores[0] == scores[1]
    assert scores[0][0][0] is not None


@pytest.mark.parametrize(
    ("options", "lines"),
    [
        (["--output=out"], ["--input: is missing"]),
        (["--input=in/*.csv"], ["--output: is missing", "--input: no file matches"]),
        (["--input=x", "--output=out", "--horizn=3"], ["--horizn: unknown option; did you mean --horizon?"]),
        (
            ["--input=x", "--output=out", "--horizon=-1", "--level=0", "--max_rows=x"],
            ["--horizon", "--level", "--max_rows"],
        ),
        (["--input=gs://a/b.csv", "--output=out"], ["--output: must be gs://bucket/prefix"]),
    ],
)
def test_wrong_options_are_all_named_before_anything_starts(
    options: list[str],
    lines: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main.main(options) == 2
    shown = capsys.readouterr().err
    for line in lines:
        assert line in shown
    assert list(tmp_path.iterdir()) == []


def test_the_launchers_own_options_are_ignored_and_ours_are_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What this version of Beam may not know: with --template_location the arguments come from Dataflow's launcher."""
    launcher = ["--template_location=gs://t/x", "--streaming_mode=AT_LEAST_ONCE", "--additional_user_labels={}"]
    assert main.main([*launcher, f"--output={tmp_path}/out", "--horizn=3"]) == 2
    shown = capsys.readouterr().err
    assert "--horizn: unknown option; did you mean --horizon?" in shown
    assert "--input: is missing" in shown
    assert "--streaming_mode: unknown option" not in shown
    assert "neither Dropcast nor this version of Beam knows it: --streaming_mode=AT_LEAST_ONCE" in shown
    assert main.main([*launcher[1:], f"--output={tmp_path}/out"]) == 2
    assert "--streaming_mode: unknown option" in capsys.readouterr().err, "a person may have misspelt it"


def test_help_lists_our_options_without_starting_beam() -> None:
    code = "import sys; from pipeline import main; main.main(['--help']); assert 'apache_beam' not in sys.modules"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "--horizon" in shown


@pytest.mark.long
def test_two_processes_share_the_work(inbox: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pipeline.main", f"--input={inbox}/good.csv", f"--output={tmp_path}/two",
               "--runner=DirectRunner", "--direct_num_workers=2", "--direct_running_mode=multi_processing"]  # fmt: skip
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0
    assert dropcast(["forecast", f"{inbox}/good.csv", f"--output={tmp_path}/one"]) == 0
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


@pytest.mark.long
@pytest.mark.skipif(not PRISM, reason="Prism is not at hand: put prism on the PATH, or name it in PRISM")
def test_prism_writes_the_same(write_csv: WriteCsv, tmp_path: Path) -> None:
    # noise, since Stan takes seconds for a series that it can fit exactly
    stores = [f"{s},{line}" for s in range(130) for line in daily_series(21, seed=s).splitlines()[1:]]
    write_csv("in/stores.csv", "store,date,y\n" + "\n".join(stores) + "\n999,2024-01-01,5\n")
    write_csv("in/bad.csv", "date,y\n01/02/2024,5\n")
    inbox = tmp_path / "in"
    command = [sys.executable, "-m", "pipeline.main", f"--input={inbox}/*", f"--output={tmp_path}/prism", "--horizon=3",
               "--runner=PrismRunner", f"--prism_location={PRISM}", "--environment_type=LOOPBACK"]  # fmt: skip
    assert subprocess.run(command, check=False, capture_output=True).returncode == 3
    assert dropcast(["forecast", f"{inbox}/*", f"--output={tmp_path}/core", "--horizon=3"]) == 3
    assert contents(tmp_path / "prism") == contents(tmp_path / "core")


def test_a_parquet_file_has_the_forecast_of_the_csv_of_its_table(write_csv: WriteCsv, tmp_path: Path) -> None:
    csv = write_csv("in/a.csv", daily_series(40))
    pd.read_csv(csv, parse_dates=[0]).to_parquet(tmp_path / "in/b.parquet", index=False)
    for run in (main.main, lambda options: dropcast(["forecast", f"{tmp_path}/in/*", *options[1:]])):
        output = tmp_path / f"out{len(list(tmp_path.iterdir()))}"
        assert run([f"--input={tmp_path}/in/*", f"--output={output}", "--horizon=5"]) == 0
        assert (output / "b.parquet.csv").read_bytes() == (output / "a.csv").read_bytes()
        rows = connect(output).sql("SELECT source, step, forecast_value FROM forecasts ORDER BY step").fetchall()
        found = [[row[1:] for row in rows if row[0].endswith(name)] for name in ("b.parquet", "a.csv")]
        assert found[0] == found[1]
        assert len(found[0]) == 5
