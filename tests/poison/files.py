"""Good files, and poison of every kind known, with the code of the dead letter that each must get."""

from __future__ import annotations

import gzip
import json

from tests.conftest import daily_series

GOOD = 24
HOSTILE = "h\x1b[31m\u2028\x85\u202e"


def good_files() -> dict[str, bytes]:
    """Return good files by name: single series and stores."""
    files = {f"good{number:02d}.csv": daily_series(60 + number, seed=number).encode() for number in range(GOOD)}
    rows = [f"s{i},{line}" for i in range(40) for line in daily_series(50, seed=i).splitlines()[1:]]
    files["stores.csv"] = ("store,date,y\n" + "\n".join(rows) + "\n").encode()
    # twenty years with gaps, whose calendar overflowed once
    files["decades.csv"] = "".join(
        line for i, line in enumerate(daily_series(7400).splitlines(True)) if i % 37 or not i
    ).encode()
    return files


def poison_files() -> dict[str, tuple[bytes, str, str]]:
    """Return poison by name: content, scope and code of the dead letter."""
    plain = daily_series(60)

    def of(series: str) -> bytes:
        rows = [f"{name},{line}" for name in ("a", series, "b") for line in daily_series(40).splitlines()[1:]]
        return ("store,date,y\n" + "\n".join(rows) + "\n").encode()

    def manifest(**fields: object) -> bytes:
        return json.dumps({"input": "claimed.csv", "output": "never.csv", **fields}).encode()

    seasonalities = [{"name": f"s{i}", "period": 30.5, "fourier_order": 1000} for i in range(60)]
    days = [f"{day}-XI-2024,{day}\n" for day in range(1, 29)]
    return {
        "claimed.csv": (plain.encode(), "", ""),  # what the manifests name is theirs alone
        "p_raise.csv": (of("poison-raise"), "series", "INTERNAL_ERROR"),
        "p_memory.csv": (of("poison-memory"), "series", "INTERNAL_ERROR"),
        "p_exit.csv": (of("poison-exit"), "series", "CRASHED"),
        "p_sys_exit.csv": (of("poison-sys_exit"), "series", "INTERNAL_ERROR"),
        f"{HOSTILE}.csv": (f"date,y\n2024-01-01,{HOSTILE}\n".encode(), "file", "BAD_NUMBER"),
        "header.csv": (b"d" * 3_000_000 + b",y\n2024-01-01,1\n", "file", "LINE_TOO_LONG"),
        "id.csv": (of("x" * 5000), "file", "ID_TOO_LONG"),
        "roman.csv": (("date,y\n" + "".join(days)).encode(), "file", "BAD_DATE_FORMAT"),
        "binary.csv": (b"date,y\n\0\0\0", "file", "NOT_TEXT"),
        "cut.csv.gz": (gzip.compress(plain.encode(), mtime=0)[:-20], "file", "BAD_GZIP"),
        "empty.csv": (b"", "file", "EMPTY_FILE"),
        "quote.csv": (b'date,y\n"2024-01-01,1\n' + b"x" * 100, "file", "UNCLOSED_QUOTE"),
        "features.manifest.json": (manifest(seasonalities=seasonalities, output="n1.csv"), "file", "TOO_MANY_FEATURES"),
        "order.manifest.json": (manifest(yearly_seasonality=1000, output="n2.csv"), "file", "TOO_MANY_FEATURES"),
        "costly.manifest.json": (manifest(yearly_seasonality=400, output="n3.csv"), "file", "FIT_TIMEOUT"),
        "levels.manifest.json": (manifest(level=list(range(1, 99)), output="n4.csv"), "file", "TOO_MANY_LEVELS"),
        "horizon.manifest.json": (manifest(horizon=100_000, level=list(range(1, 20)), output="n5.csv"), "file",
                                  "FORECAST_TOO_LARGE"),
        "fields.manifest.json": (manifest(**{f"f{i}": 1 for i in range(60_000)}), "message", "BAD_MANIFEST"),
        "deep.manifest.json": (b'{"input": ' + b"[" * 100_000, "message", "BAD_MANIFEST"),
    }  # fmt: skip
