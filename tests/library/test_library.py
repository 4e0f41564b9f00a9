"""import dropcast: frames in, frames out."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dropcast
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.series.arrow_lists import lists_of
from pipeline.folder.run import forecast_files
from pipeline.library.frames import series_of_table
from pipeline.runs import run_from


def sales(stores: int = 3, days: int = 90) -> pd.DataFrame:
    random, dates = np.random.default_rng(0), pd.date_range("2024-01-01", periods=days)
    parts = [
        pd.DataFrame(
            {"unique_id": f"s{s}", "ds": dates, "y": 100 + s + 9 * (np.arange(days) % 7) + random.normal(0, 1, days)}
        )
        for s in range(stores)
    ]
    return pd.concat(parts, ignore_index=True)


@pytest.fixture
def single() -> pd.DataFrame:
    return sales(1).drop(columns="unique_id")


def test_the_same_numbers_as_from_a_csv(tmp_path: Path) -> None:
    frame = sales()
    frame["y"] = frame.y.round(3)
    frame.to_csv(tmp_path / "in.csv", index=False)
    forecast_files(run_from({"output": str(tmp_path / "out"), "horizon": "14"}, [str(tmp_path / "in.csv")]))
    written = pd.read_csv(tmp_path / "out/in.csv", parse_dates=["date"])
    found = dropcast.forecast(frame, 14)
    assert list(found) == ["unique_id", "ds", "Dropcast", "Dropcast-lo-80", "Dropcast-hi-80"]
    assert found.unique_id.tolist() == written.unique_id.tolist()
    assert (found.ds.to_numpy() == written.date.to_numpy()).all()
    assert (found["Dropcast"] == written.prediction).all()
    assert (found["Dropcast-hi-80"] == written.prediction_upper).all()


@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow", "batch"])
def test_what_comes_out_is_of_the_kind_that_went_in(kind: str) -> None:
    frame = sales()
    given: Any = {
        "pandas": frame, "polars": pl.from_pandas(frame), "arrow": pa.Table.from_pandas(frame),
        "batch": pa.Table.from_pandas(frame).combine_chunks().to_batches()[0],
    }[kind]  # fmt: skip
    found = dropcast.forecast(given, 7, level=[80, 97.5])
    wanted = {"pandas": pd.DataFrame, "polars": pl.DataFrame}.get(kind, pa.Table)
    assert isinstance(found, wanted)
    table = pa.table(found) if kind == "polars" else pa.Table.from_pandas(found) if kind == "pandas" else found
    names = ["Dropcast", "Dropcast-lo-80", "Dropcast-hi-80", "Dropcast-lo-97.5", "Dropcast-hi-97.5"]
    assert table.column_names == ["unique_id", "ds", *names]
    assert table.num_rows == 21
    plain = dropcast.forecast(frame, 7, level=[80, 97.5])
    np.testing.assert_array_equal(np.asarray(table["Dropcast"]), plain["Dropcast"])


def test_prophets_columns_for_a_single_series(single: pd.DataFrame) -> None:
    assert list(dropcast.forecast(single, 3)) == ["ds", "yhat", "yhat_lower", "yhat_upper"]
    both = dropcast.forecast(single, 3, level=(50, 90), components=True, yearly_seasonality=True)
    assert list(both) == ["ds", "yhat", "yhat_lower_50", "yhat_upper_50", "yhat_lower_90", "yhat_upper_90",
                          "trend", "yearly", "weekly", "daily"]  # fmt: skip
    assert both.daily.isna().all()
    np.testing.assert_allclose(both.yhat, both.trend + both.yearly + both.weekly)


def test_ids_keep_their_type_and_order_of_appearance_and_several_may_tell_series_apart() -> None:
    frame = sales().assign(unique_id=lambda f: f.unique_id.map({"s0": 30, "s1": 10, "s2": 20}))
    found = dropcast.forecast(frame.sample(frac=1, random_state=1), 2)
    assert found.unique_id.dtype == np.int64
    assert sorted(found.unique_id.unique()) == [10, 20, 30]
    frame = sales(4).assign(
        shop=lambda f: f.unique_id.str[1].astype(int) // 2, item=lambda f: f.unique_id.str[1].astype(int) % 2
    )
    found = dropcast.forecast(frame.drop(columns="unique_id"), 2, id_columns=["shop", "item"])
    assert found[["shop", "item"]].drop_duplicates().to_numpy().tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    plain = dropcast.forecast(sales(4), 2)
    assert (found["Dropcast"].to_numpy() == plain["Dropcast"].to_numpy()).all()
    categories = sales().assign(unique_id=lambda f: f.unique_id.astype("category"))
    assert dropcast.forecast(categories, 2).unique_id.tolist() == dropcast.forecast(sales(), 2).unique_id.tolist()


@settings(max_examples=20)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), min_size=1, max_size=60, unique=True), st.randoms())
def test_rows_in_any_order_go_to_their_series(rows: list[tuple[int, int]], chance: Any) -> None:
    chance.shuffle(rows)
    table = pa.table({
        "a": [s % 2 for s, _ in rows], "b": [f"{s // 2}" for s, _ in rows],
        "ds": pa.array(np.datetime64("2024-01-01") + np.array([d for _, d in rows])),
        "y": [s * 100.0 + d for s, d in rows],
    })  # fmt: skip
    series = series_of_table(table, ForecastSpec(id_columns=("a", "b"), horizon=1), Limits())
    keys = [(row["a"], row["b"]) for row in series.keys.to_pylist()]
    assert keys == list(dict.fromkeys((s % 2, f"{s // 2}") for s, _ in rows))
    for first, batch in series.blocks():
        for row, values in enumerate(lists_of(batch, "y")):
            a, b = keys[first + row]
            number = a + 2 * int(b)
            wanted = sorted(number * 100.0 + d for s, d in rows if s == number)
            assert values.tolist() in (wanted, [])  # a series of one value has a fault


def test_dates_of_all_kinds() -> None:
    frame = sales(1)
    wanted = dropcast.forecast(frame, 2)["Dropcast"].tolist()
    for dates in (frame.ds.dt.strftime("%Y-%m-%d"), frame.ds.dt.date, frame.ds.astype("datetime64[s]")):
        found = dropcast.forecast(frame.assign(ds=dates), 2)
        assert found["Dropcast"].tolist() == wanted
        assert found.ds.astype(str).tolist()[0].startswith("2024-03-31")
    local = dropcast.forecast(frame.assign(ds=frame.ds.dt.tz_localize("Europe/Berlin")), 2)
    assert local["Dropcast"].tolist() == wanted
    assert str(local.ds[0]) == "2024-03-31 00:00:00+01:00"  # the clocks change on that day
    assert str(local.ds[1]) == "2024-04-01 00:00:00+02:00"


def test_hours_of_a_timezone_are_an_hour_apart_when_the_clocks_change() -> None:
    for start, ahead in (
        ("2023-10-01", 48),
        ("2024-03-01", 720),
        ("2024-10-01", 720),
    ):  # past it, into spring, into autumn
        hours = pd.date_range(start, periods=31 * 24 - 24, freq="h", tz="Europe/Berlin")
        frame = pd.DataFrame({"ds": hours, "y": 10.0 + np.arange(len(hours)) % 24})
        found = dropcast.forecast(frame, ahead)
        assert found.ds.dtype == frame.ds.dtype
        assert (found.ds.diff().dropna() == pd.Timedelta(hours=1)).all()
        assert found.ds.iloc[0] - frame.ds.iloc[-1] == pd.Timedelta(hours=1)


def test_dates_and_ids_come_back_as_they_were_so_that_frames_can_be_joined() -> None:
    frame = pl.from_pandas(sales(2)).with_columns(
        pl.col("ds").cast(pl.Date), pl.col("unique_id").cast(pl.Enum(["s0", "s1"]))
    )
    found = dropcast.forecast(frame, 7)
    assert found.schema["ds"] == pl.Date
    assert found.schema["unique_id"] == frame.schema["unique_id"]
    assert len(pl.concat([frame.select("unique_id", "ds"), found.select("unique_id", "ds")])) == 2 * 97
    for kind in (pa.date32(), pa.timestamp("ns"), pa.timestamp("s")):
        table = pa.Table.from_pandas(sales(1))
        table = table.set_column(1, "ds", table["ds"].cast(kind, safe=False))
        assert dropcast.forecast(table, 2).schema.field("ds").type == kind


def test_a_column_of_the_callers_is_never_overwritten() -> None:
    for name in ("Dropcast", "trend"):
        with pytest.raises(ValueError, match=f"'{name}' is also the name of a result"):
            dropcast.forecast(sales().rename(columns={"unique_id": name}), 2, id_columns=[name], components=True)
    with pytest.raises(ValueError, match="'SeasonalNaive' is also"):
        dropcast.backtest(sales().rename(columns={"y": "SeasonalNaive"}), 2, value_column="SeasonalNaive")
    with pytest.raises(ValueError, match="'cutoff' is also"):
        dropcast.backtest(sales().rename(columns={"unique_id": "cutoff"}), 2, id_columns=["cutoff"])


def test_only_the_columns_that_are_used_matter_and_an_index_counts() -> None:
    frame = sales()
    wanted = dropcast.forecast(frame, 2)
    mixed = frame.assign(remark=[1, "a", None] * 90)
    assert dropcast.forecast(mixed, 2).equals(wanted)
    assert dropcast.forecast(frame.set_index("unique_id"), 2).equals(wanted)
    assert dropcast.forecast(frame.set_index(["unique_id", "ds"]), 2).equals(wanted)
    big = frame.assign(y=(2**60 + 1000 * frame.y).astype("int64"))
    assert len(dropcast.forecast(big, 2)) == 6

    class Special(pd.DataFrame):
        __module__ = "elsewhere"

    assert isinstance(dropcast.forecast(Special(frame), 2), pd.DataFrame)
    with pytest.raises(ValueError, match="is not a frame"):
        dropcast.forecast(frame.y)
    with pytest.raises(ValueError, match="models: is for the command line"):
        dropcast.forecast(frame, models="/nowhere")
    assert len(dropcast.forecast(frame, 2, level=np.int64(80))) == 6


def test_regressors_come_with_the_dates_ahead() -> None:
    frame = sales(1, 97).assign(promo=lambda f: (np.arange(len(f)) % 5 == 0) * 1.0)
    frame["y"] = frame.y + 50 * frame.promo
    frame.loc[90:, "y"] = np.nan
    found = dropcast.forecast(frame, 7, regressors=["promo"])
    assert len(found) == 7
    promoted = found["Dropcast"][frame.promo[90:].to_numpy() == 1].min()
    assert promoted > found["Dropcast"][frame.promo[90:].to_numpy() == 0].max()
    with pytest.raises(ValueError, match="'promo' has no value on 2024-03-31"):
        dropcast.forecast(frame[:90], 7, regressors=["promo"])


def test_a_bad_series_is_left_out_with_a_warning_and_check_says_why() -> None:
    frame = pd.concat([sales(), pd.DataFrame({"unique_id": ["short"], "ds": ["2024-01-01"], "y": [1.0]})])
    frame["ds"] = pd.to_datetime(frame.ds)
    frame.loc[frame.index[5], "y"] = np.inf
    with pytest.warns(dropcast.SeriesWarning, match="of 4 series were not forecast; the first"):
        found = dropcast.forecast(frame, 2)
    assert found.unique_id.unique().tolist() == ["s1", "s2"]
    checked = dropcast.check(frame).set_index("unique_id")
    assert checked.code.fillna("").to_dict() == {"s0": "NOT_FINITE", "s1": "", "s2": "", "short": "TOO_FEW_ROWS"}
    assert checked.frequency["s1"] == "D"
    assert checked["values"]["s1"] == 90
    assert str(checked["last"]["s2"])[:10] == "2024-03-30"
    assert "two values" in checked.hint["short"] or checked.hint["short"]
    with pytest.raises(ValueError, match="1 of 1 series"):
        dropcast.forecast(frame[frame.unique_id == "short"])


def test_what_is_wrong_is_said(single: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="horizon"):
        dropcast.forecast(single, 0)
    with pytest.raises(ValueError, match=r"horizn: unknown option; did you mean horizon\?"):
        dropcast.forecast(single, horizn=1)
    with pytest.raises(ValueError, match="score: is for the command line"):
        dropcast.forecast(single, score=True)
    with pytest.raises(ValueError, match=r"levels are in percent: 80, not 0\.8"):
        dropcast.forecast(single, level=0.8)
    for columns in ("*", ["y", "z"]):
        with pytest.raises(ValueError, match="value_column: name one"):
            dropcast.forecast(single.assign(z=1.0), value_column=columns)
    with pytest.raises(ValueError, match="There is no column 'y'; there are 'ds', 'sold'"):
        dropcast.forecast(single.rename(columns={"y": "sold"}))
    assert len(dropcast.forecast(single.rename(columns={"y": "sold"}), 2, value_column="sold")) == 2
    with pytest.raises(ValueError, match="not numbers"):
        dropcast.forecast(single.assign(y="much"))
    with pytest.raises(ValueError, match="not dates"):
        dropcast.forecast(single.assign(ds=1))
    with pytest.raises(ValueError, match="no date"):
        dropcast.forecast(single.assign(ds=single.ds.where(single.ds > "2024-01-05")))
    with pytest.raises(ValueError, match="no rows"):
        dropcast.forecast(single[:0])
    with pytest.raises(ValueError, match="is not a frame"):
        dropcast.forecast([1, 2])


def test_backtest_holds_the_ends_out() -> None:
    frame = sales(2)
    found = dropcast.backtest(frame, 7, cutoffs=3)
    assert list(found) == [
        "unique_id",
        "ds",
        "cutoff",
        "y",
        "Dropcast",
        "Dropcast-lo-80",
        "Dropcast-hi-80",
        "SeasonalNaive",
    ]
    assert len(found) == 2 * 3 * 7
    assert sorted(found.cutoff.unique()) == list(pd.to_datetime(["2024-03-09", "2024-03-16", "2024-03-23"]))
    merged = found.merge(frame, on=["unique_id", "ds"], suffixes=("", "_there"))
    assert (merged.y == merged.y_there).all()
    early = frame[frame.ds <= "2024-03-16"]
    again = dropcast.forecast(early, 7)
    one = found[found.cutoff == "2024-03-16"].sort_values(["unique_id", "ds"])
    np.testing.assert_allclose(one["Dropcast"], again["Dropcast"], rtol=1e-9)
    naive = frame[(frame.ds > "2024-03-16") & (frame.ds <= "2024-03-23")].sort_values(["unique_id", "ds"])
    last = found[found.cutoff == "2024-03-23"].sort_values(["unique_id", "ds"])
    assert last.SeasonalNaive.tolist() == naive.y.tolist()
    with pytest.raises(ValueError, match="No series has enough history"):
        dropcast.backtest(frame, 60)
    with pytest.raises(ValueError, match="cutoffs"):
        dropcast.backtest(frame, 7, cutoffs=0)


@pytest.mark.parametrize("model", ["prophet", "auto"])
def test_a_cutoff_gives_the_forecast_of_what_was_known_then(model: str) -> None:
    frame = sales(2)
    tested = dropcast.backtest(frame, 7, cutoffs=3, model=model)
    for cutoff, part in tested.groupby("cutoff"):
        known = frame[pd.to_datetime(frame.ds) <= cutoff]
        ahead = dropcast.forecast(known, 7, model=model)
        joined = part.merge(ahead, on=["unique_id", "ds"], suffixes=("", "_ahead"))
        assert len(joined) == 14
        for name in ("Dropcast", "Dropcast-lo-80", "Dropcast-hi-80"):
            np.testing.assert_allclose(joined[name], joined[f"{name}_ahead"], rtol=1e-9)


def test_fit_gives_prophet_objects() -> None:
    models = dropcast.fit(sales(2))
    assert list(models) == ["s0", "s1"]
    ahead = models["s1"].make_future_dataframe(5, include_history=False)
    found = dropcast.forecast(sales(2), 5)
    np.testing.assert_allclose(models["s1"].predict(ahead).yhat, found[found.unique_id == "s1"]["Dropcast"], rtol=1e-9)
    assert list(dropcast.fit(sales(1).drop(columns="unique_id"))) == ["y"]


def test_plot_draws_what_is_asked_for(single: pd.DataFrame) -> None:
    frame = sales(8)
    found = dropcast.forecast(frame, 7, level=[80, 95], components=True)
    figure = dropcast.plot(frame, found)
    assert [axis.get_title(loc="left") for axis in figure.axes][::3] == [f"s{i}" for i in range(6)]
    figure = dropcast.plot(pl.from_pandas(frame), pl.from_pandas(found), series=["s7", "s1"], periods=20)
    titles = [axis.get_title(loc="left") for axis in figure.axes]
    assert titles == ["s7", "trend", "weekly", "s1", "trend", "weekly"]
    assert len(figure.axes[0].lines[0].get_xdata()) == 20
    assert dropcast.plot(frame, found, series="s3").axes[0].get_title(loc="left") == "s3"
    figure = dropcast.plot(single, dropcast.forecast(single, 3))
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["y"]
    with pytest.raises(ValueError, match="no series 'x'"):
        dropcast.plot(frame, found, series=["x"])
    with pytest.raises(ValueError, match="must be what"):
        dropcast.plot(frame, frame)


def test_it_brings_five_functions_with_examples_of_all_they_take() -> None:
    public = [name for name in dropcast.__all__ if name[0].islower()]
    assert public == ["backtest", "check", "fit", "forecast", "plot"]
    for name in public:
        text = getattr(dropcast, name).__doc__
        assert "Args:" in text
        assert "Returns:" in text
        assert "Raises:" in text


def test_importing_it_loads_no_engine_and_no_beam() -> None:
    heavy = ("apache_beam", "numba", "prophet", "matplotlib")
    code = f"import sys, dropcast; print(*[name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_nothing_is_warned_of_without_cause() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(dropcast.forecast(sales(), 3)) == 9


def with_promo(rows: int = 100) -> pd.DataFrame:
    days = np.arange(rows)
    promo = (days % 9 == 0).astype(float)
    return pd.DataFrame(
        {"ds": pd.date_range("2024-01-01", periods=rows), "y": 100 + 20 * promo + np.sin(days), "promo": promo}
    )


@pytest.mark.parametrize(
    "options",
    [{"regressors": "promo"}, {"growth": "logistic", "cap": "cap"},
     {"seasonalities": [{"name": "s", "period": 9, "fourier_order": 2, "condition_name": "promo"}]}],
    ids=["regressor", "cap", "condition"],
)  # fmt: skip
def test_backtests_and_fits_need_no_rows_after_the_end(options: dict[str, Any]) -> None:
    frame = with_promo().assign(cap=200.0)
    tested = dropcast.backtest(frame, horizon=10, cutoffs=2, **options)
    assert len(tested) == 20
    assert tested["yhat"].notna().all()
    assert list(dropcast.fit(frame, **options)) == ["y"]
    with pytest.raises(ValueError, match="has no value on 2024-04-10, which is to forecast"):
        dropcast.forecast(frame, horizon=10, **options)


def test_a_backtest_says_what_is_wrong_with_the_series_and_not_with_its_length() -> None:
    frame = with_promo()
    frame.loc[50, "promo"] = np.nan
    with pytest.raises(ValueError, match="'promo' has no value on 2024-02-20, which is in the history"):
        dropcast.backtest(frame, horizon=10, regressors="promo")
