from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import dropcast
from pipeline import cli
from pipeline.core import process_request
from pipeline.core.engines.hint import MOST, TRIED, hint_of, sample, wants_hint
from pipeline.core.engines.score import held_out
from pipeline.core.errors import RecordError
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.measures import mase
from pipeline.core.process_request import forecast, forecast_rows, load_blocks
from pipeline.core.requests.local_files import request_for
from pipeline.folder.output import FolderOutput
from pipeline.runs import FolderRun

WriteCsv = Callable[..., Path]
NAMES = [f"s{i:04d}" for i in range(512)]


@pytest.mark.parametrize(
    ("series", "parts", "expected"),
    [(99, 1, 0), (100, 1, 3), (350, 1, 3), (512, 1, 5), (512, 4, 20), (512, 10, 50), (512, 900, 50)],
)
def test_a_hundredth_is_tried_but_no_more_than_fifty(series: int, parts: int, expected: int) -> None:
    tried = [sample(NAMES[:series], part, parts) for part in range(parts)]
    assert sum(map(len, tried)) == expected <= MOST
    assert max(map(len, tried)) - min(map(len, tried)) <= 1, "spread over the blocks"


def test_which_are_tried_depends_on_their_names() -> None:
    chosen = {NAMES[row] for row in sample(NAMES, 0, 1)}
    backwards = NAMES[::-1]
    assert {backwards[row] for row in sample(backwards, 0, 1)} == chosen
    assert len(chosen) == 5


@pytest.mark.parametrize(
    ("options", "wanted"),
    [({}, True), ({"hint": False}, False), ({"model": "auto"}, False), ({"engine": "stan"}, False),
     ({"score": False}, False), ({"models": "folder"}, False), ({"country_holidays": "US"}, False)],
)  # fmt: skip
def test_only_a_default_run_wants_a_hint(options: dict[str, Any], wanted: bool) -> None:
    assert wants_hint(ForecastSpec(**options)) is wanted


def test_it_is_given_only_if_auto_is_better_on_average_and_for_most() -> None:
    assert hint_of([(1.5, 0.7), (1.0, 0.9), (2.0, 2.5)]) == (
        "--model=auto would have been better: MASE 1.37 against 1.50, lower on 2 of 3 series tried"
    )
    assert hint_of([]) == hint_of([(9.0, 1.0)] * 2) == "", "too few to say so"
    assert hint_of([(9.0, 1.0), (1.0, 1.1), (1.0, 1.1)]) == "", "better for one only"
    assert hint_of([(1.0, 0.9), (1.0, 0.9), (1.0, 3.0)]) == "", "worse on average"


def wandering(series: int) -> pd.DataFrame:
    """Monthly series whose level wanders, where auto is better."""
    random, dates = np.random.default_rng(0), pd.date_range("2016-01-01", periods=80, freq="MS")
    values = 200 + np.cumsum(random.normal(0, 5, (series, 80)), axis=1) + 8 * np.sin(np.arange(80) * np.pi / 6)
    names = np.repeat([f"s{i:04d}" for i in range(series)], 80)
    return pd.DataFrame({"unique_id": names, "ds": np.tile(dates, series), "y": values.round(2).ravel()})


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[float, float]]]:
    """The scores that go into receipts."""
    found: list[tuple[float, float]] = []

    def noted(scores: list[tuple[float, float]]) -> str:
        found.extend(scores)
        return hint_of(scores)

    monkeypatch.setattr("pipeline.core.outputs.receipts.hint_of", noted)
    return found


def test_a_run_is_told_in_summary_and_receipt(
    write_csv: WriteCsv, tmp_path: Path, capsys: pytest.CaptureFixture[str], tried: list[tuple[float, float]]
) -> None:
    data = wandering(700)  # two blocks
    path = write_csv("in/a.csv", data.to_csv(index=False))
    command = ["forecast", str(path), f"--output={tmp_path}/out", "--horizon=12", "--workers=1"]
    assert cli.main(command) == 0
    assert "--model=auto would have been better: MASE " in capsys.readouterr().out
    assert 7 <= len(tried) <= 10
    forecast = (tmp_path / "out/a.csv").read_bytes()
    cut = data.groupby("unique_id").head(68)
    rest = data.groupby("unique_id").tail(12).y.to_numpy().reshape(-1, 12)
    auto = dropcast.forecast(cut, model="auto", horizon=12).Dropcast.to_numpy().reshape(-1, 12)
    past = cut.y.to_numpy().reshape(-1, 68)
    own = mase(rest, auto, np.abs(past[:, 12:] - past[:, :-12]).mean(axis=1))
    assert all(np.isclose(own, score).any() for _, score in tried), "auto's scores are those of the last horizon"
    assert cli.main([*command[:2], f"--output={tmp_path}/off", *command[3:], "--hint=false", "--json"]) == 0
    (receipt,) = json.loads(capsys.readouterr().out)["receipts"]
    assert "would have been better" not in receipt["notes"]
    assert (tmp_path / "off/a.csv").read_bytes() == forecast, "a hint never changes a forecast"


def test_a_hint_that_fails_costs_nothing_else(
    write_csv: WriteCsv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("pipeline.core.engines.auto.forecast_series", broken)
    path = write_csv("in/a.csv", wandering(120).to_csv(index=False))
    assert cli.main(["forecast", str(path), f"--output={tmp_path}/out", "--horizon=12"]) == 0
    assert "auto cannot forecast series" in capsys.readouterr().err
    monkeypatch.setattr("pipeline.core.engines.score.held_out", broken)
    monkeypatch.setattr("pipeline.core.engines.forecast_batch.held_out", held_out)
    assert cli.main(["forecast", str(path), f"--output={tmp_path}/other", "--horizon=12"]) == 0
    assert "no hint for part 0" in capsys.readouterr().err


def test_a_block_that_is_forecast_in_pieces_has_a_hint_too(
    write_csv: WriteCsv, make_settings: Callable[..., FolderRun], tried: list[tuple[float, float]]
) -> None:
    """A block whose process died is forecast in children, which return parts of it."""
    write_csv("in/a.csv", wandering(120).to_csv(index=False))
    settings = make_settings(horizon=12)
    (file,) = settings.files
    output = FolderOutput(settings.output)
    request = request_for(file, settings.spec, [])
    (block,) = load_blocks(request, Limits(), output)
    output.begin(request, "part-000000")  # as if a process had died here
    pieces = [forecast_rows(block, Limits(), output, *ends).batch for ends in ((0, 60), (60, 61), (61, 120))]
    whole = forecast_rows(block, Limits(), output).batch
    failed = process_request._all_faulty(
        block.batch.slice(0, 1), block.layout, settings.spec, RecordError("CRASHED", "It died.", "Nothing."), output
    )
    assert {piece.schema for piece in [*pieces, failed]} == {whole.schema}
    together = pa.concat_batches(pieces)
    scores = [np.asarray(batch.column(TRIED).fill_null(np.nan)) for batch in (together, whole)]
    np.testing.assert_allclose(*scores, rtol=1e-12)
    assert len(whole.column(TRIED).drop_null()) == 3
    assert forecast(block, Limits(), output).batch.equals(whole)


def test_compare_tells_it_of_small_files_too(
    write_csv: WriteCsv, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(write_csv("in/a.csv", wandering(6).to_csv(index=False)))
    assert cli.main(["compare", path, "--horizon=12", "--json"]) == 0
    series = json.loads(capsys.readouterr().out)["series"]
    scores = [(one["mase"]["native"], one["mase"]["auto"]) for one in series]
    assert len(scores) == 6
    monkeypatch.setattr("pipeline.commands.compare.hint_of", lambda tried: f"hint about {len(tried)}")
    assert cli.main(["compare", path, "--horizon=12"]) == 0
    assert "hint about 6." in capsys.readouterr().out
    assert all(auto > 0 for _, auto in scores)


@pytest.mark.parametrize("series", [6, 700])
def test_check_tells_it_for_files_of_any_size(
    write_csv: WriteCsv, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, series: int
) -> None:
    """As compare does on the series that it takes; from two blocks or more, 50 are tried."""
    data = wandering(series)
    path = str(write_csv("in/a.csv", data.to_csv(index=False)))
    found: list[tuple[float, float]] = []
    monkeypatch.setattr("pipeline.core.engines.hint.hint_of", lambda tried: found.extend(tried) or hint_of(tried))
    assert cli.main(["check", path, "--horizon=6", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["hint"]
    assert told.startswith("--model=auto would have been better: MASE ")
    assert len(found) == min(series, MOST)
    names = list(dict.fromkeys(data.unique_id))
    chosen = sorted(sorted(names, key=lambda name: zlib.crc32(name.encode()))[:MOST])
    few = str(write_csv("in/few.csv", data[data.unique_id.isin(chosen[:6])].to_csv(index=False)))
    assert cli.main(["compare", few, "--horizon=6", "--json"]) == 0
    compared = [one["mase"] for one in json.loads(capsys.readouterr().out)["series"]]
    np.testing.assert_allclose(found[:6], [(mases["native"], mases["auto"]) for mases in compared], rtol=1e-6)
    assert cli.main(["check", path, "--horizon=6"]) == 0
    assert f"  hint: {told}\n" in capsys.readouterr().out
    assert cli.main(["check", path, "--horizon=6", "--json", "--hint=false"]) == 0
    assert json.loads(capsys.readouterr().out)["hint"] == ""


def test_a_check_whose_hint_fails_still_tells_what_it_found(
    write_csv: WriteCsv, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("pipeline.core.engines.score.held_out", broken)
    path = str(write_csv("in/a.csv", wandering(6).to_csv(index=False)))
    assert cli.main(["check", path, "--json"]) == 0
    shown, logged = capsys.readouterr()
    assert json.loads(shown)["series"] == 6
    assert "no hint" in logged


def test_check_tries_what_can_be_forecast_only(write_csv: WriteCsv, capsys: pytest.CaptureFixture[str]) -> None:
    data = wandering(4)
    data = data.astype({"y": object})
    data.loc[data.index[0], "y"] = "x"
    path = str(write_csv("in/a.csv", data.to_csv(index=False)))
    assert cli.main(["check", path, "--horizon=6", "--json"]) == 3
    found = json.loads(capsys.readouterr().out)
    assert found["problems"] == 1
    assert "of 3 series tried" in found["hint"] or found["hint"] == ""
