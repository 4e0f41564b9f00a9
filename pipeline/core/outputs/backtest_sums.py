"""What the receipt tells of backtests: mean weights, and how many past values were inside the intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.engines.forecast_batch import AUTO
from pipeline.core.outputs.forecast_csv import level_text

SHOWN = 4  # members named in a note
Inside = dict[str, tuple[float, int]]


def summed_weights(batch: pa.RecordBatch) -> dict[str, float]:
    """Return each member's weight, summed over the series of a forecast batch; empty without backtests."""
    if "backtests" not in batch.schema.names:
        return {}
    lists = batch.column("backtests")
    rows, offsets = pa.Table.from_struct_array(lists.flatten()), np.asarray(lists.offsets) - lists.offsets[0].as_py()
    cutoffs = np.asarray(rows.column("cutoff").combine_chunks().fill_null(0).view(pa.int64()))
    starts, lengths = offsets[:-1][np.diff(offsets) > 0], np.diff(offsets)[np.diff(offsets) > 0]
    newest = pa.array(cutoffs == np.repeat(cutoffs[starts], lengths))
    rows = rows.filter(pc.and_(newest, pc.not_equal(rows.column("model"), AUTO)))
    sums = rows.group_by("model", use_threads=False).aggregate([("weight", "sum")]).sort_by("model")
    return dict(zip(sums.column("model").to_pylist(), sums.column("weight_sum").to_pylist(), strict=True))


def summed_coverage(batch: pa.RecordBatch) -> Inside:
    """Return for each level the mean coverage of each series, summed, and the number of these series."""
    if "backtests" not in batch.schema.names:
        return {}
    lists = batch.column("backtests")
    rows = pa.Table.from_struct_array(lists.flatten())
    rows = rows.append_column("series", pa.array(np.repeat(np.arange(len(lists)), np.diff(np.asarray(lists.offsets)))))
    rows = rows.filter(pc.is_valid(rows.column("coverage")))
    means = rows.group_by(["series", "level"], use_threads=False).aggregate([("coverage", "mean")])
    sums = (
        means.group_by("level", use_threads=False)
        .aggregate([("coverage_mean", "sum"), ("coverage_mean", "count")])
        .sort_by("level")
    )
    return {
        level_text(row["level"]): (row["coverage_mean_sum"], row["coverage_mean_count"]) for row in sums.to_pylist()
    }


def backtest_notes(weights: Sequence[dict[str, float]], inside: Sequence[Inside]) -> list[str]:
    """Return what an owner should know of the backtests of a file, from the sums of its blocks."""
    totals: dict[str, float] = {}
    for own in weights:
        for name, weight in own.items():
            totals[name] = totals.get(name, 0.0) + weight
    series = sum(totals.values())  # the weights of each series add up to 1
    if not series:
        return []
    largest = sorted(totals.items(), key=lambda item: (-item[1], item[0]))
    named = ", ".join(f"{name} {100 * weight / series:.0f} %" for name, weight in largest[:SHOWN])
    more = len(largest) - SHOWN
    notes = [f"mean weights: {named}{f' and {more} more' if more > 0 else ''}"]
    levels: dict[str, tuple[float, int]] = {}
    for counted in inside:
        for level, (total, count) in counted.items():
            before = levels.get(level, (0.0, 0))
            levels[level] = (before[0] + total, before[1] + count)
    shares = [f"{100 * total / count:.0f} % inside the {level} % interval" for level, (total, count) in levels.items()]
    return [*notes, f"past values: {', '.join(shares)}"] if shares else notes
