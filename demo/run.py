"""The demo: sample files in, forecasts out, by the Beam pipeline; then a query, pictures and a report."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from sample_files import write_sample_files

HERE = (
    Path(__file__).parent.relative_to(Path.cwd())
    if Path(__file__).is_relative_to(Path.cwd())
    else Path(__file__).parent
)
FILES, FORECASTS = HERE / "files", HERE / "forecasts"
QUERY = (
    "SELECT series_id AS store, round(sum(forecast_value)) AS sales_in_28_days\n"
    "FROM latest_forecasts WHERE output = 'store_sales.csv'\nGROUP BY series_id ORDER BY sales_in_28_days DESC LIMIT 5"
)


def main() -> int:
    """Run the demo; return 0 if everything worked."""
    print(f"1. Sample files in {FILES}")
    for path in write_sample_files(FILES):
        print(f"   {path.name:<24}{path.read_text().splitlines()[0]}")

    print("\n2. The Beam pipeline forecasts every series in them (207 fits: half a minute or so)")
    # A manifest holds the options of one file: here, the names of two value columns.
    (FILES / "monthly_accounts.manifest.json").write_text(
        '{"input": "monthly_accounts.csv", "value_column": ["revenue", "costs"], "horizon": 12}\n'
    )
    code = _run(
        [
            sys.executable,
            "-m",
            "pipeline.main",
            f"--input={FILES}/*",
            f"--output={FORECASTS}",
            "--runner=DirectRunner",
        ]
    )
    if code != 3:
        print(f"The pipeline exited with code {code}; 3 was expected, since one file has errors in it.")
        return 1

    print("\n3. A query of the tables, in SQL")
    print("   " + QUERY.replace("\n", "\n   "))
    if _dropcast("query", QUERY, f"--output={FORECASTS}"):
        return 1

    print("4. Pictures")
    drawn = [
        _plot("page_views"),
        _plot("store_sales", "--series=0001,0005,0010", "--periods=120"),
        _plot("monthly_accounts"),
    ]
    print("\n5. The whole run as one HTML page, to open in a browser")
    drawn.append(_dropcast("report", str(FORECASTS), "--title=Dropcast's demo"))
    print(f"\nNow try your own file: {Path(sys.executable).parent}/dropcast forecast YOUR.csv")
    return max(drawn)


def _plot(name: str, *options: str) -> int:
    save = f"--save={FORECASTS}/{name}.png"
    return _dropcast("plot", f"{FILES}/{name}.csv", f"{FORECASTS}/{name}.csv", save, *options)


def _dropcast(*arguments: str) -> int:
    return _run([sys.executable, "-m", "pipeline.cli", *arguments])


def _run(command: list[str]) -> int:
    sys.stdout.flush()
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
