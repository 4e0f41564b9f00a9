"""The steps of a request that nobody may wait for any more."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.core import process_request
from pipeline.core.errors import NobodyWaitsError
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.process_request import forecast, load_blocks, process
from pipeline.core.requests.local_files import request_of_csv
from pipeline.folder.output import FolderOutput


def test_a_block_is_forecast_in_pieces_between_which_it_may_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_request, "pieces", lambda series, _: (series.slice(i, 1) for i in range(len(series))))
    path, output, limits = tmp_path / "in.csv", FolderOutput(tmp_path / "out"), Limits()
    days = pa.array(range(20_000, 20_060), pa.int32()).cast(pa.date32()).to_pylist()
    rows = [f"{store},{day},{number % 7 + store}" for store in range(3) for number, day in enumerate(days)]
    path.write_text("store,ds,y\n" + "\n".join(rows) + "\n")
    request = request_of_csv(path, "out.csv", ForecastSpec(horizon=3), "")
    looks: list[int] = []

    def look() -> None:
        looks.append(1)
        if len(looks) == 5:
            raise NobodyWaitsError

    (block,) = load_blocks(request, limits, output)
    whole, in_pieces = (forecast(block, limits, output, look=how).batch for how in (None, look))
    assert len(looks) == 3
    for name in ("yhat", "lower_0", "mase"):
        assert in_pieces.column(name).equals(whole.column(name))
    with pytest.raises(NobodyWaitsError):
        process(request, limits, output, look=look)
    assert output.standing_receipt(request) is None, "nothing says that it is done"
    assert not list((tmp_path / "out/_dropcast/work").rglob("markers/*")), "and nothing makes it suspect"
