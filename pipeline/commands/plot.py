"""dropcast plot: history, forecast and interval as a picture."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pipeline.commands import OptionsError, add_model_arguments, parsed, parser_for, refuse
from pipeline.commands.local_files import local_path
from pipeline.core.errors import RecordError
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.plain_text import printable
from pipeline.core.requests.uris import is_uri
from pipeline.core.scratch import scratch_folder
from pipeline.options import spec_from
from pipeline.places import options_of_forecast
from pipeline.terminal import say


def parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    found = parser_for(
        "plot",
        "Draw history, forecast and interval of a CSV's series as PNG or SVG, with components if they were forecast.",
        "dropcast plot sales.csv forecasts/sales.csv --series=north,south --save=sales.png",
        "HISTORY [FORECAST] [OPTION ...]",
    )
    found.add_argument("history", nargs="?", metavar="HISTORY", help="the CSV that was forecast, or gs://...")
    found.add_argument(
        "forecast", nargs="?", metavar="FORECAST", help="its forecast, or gs://... [forecasts/<name of the CSV>]"
    )
    found.add_argument("--series", metavar="ID,...", help="series to draw [the first six]")
    found.add_argument("--save", metavar="FILE", help="file to write: .png or .svg [<name of the CSV>.png]")
    found.add_argument(
        "--periods",
        type=int,
        default=0,
        metavar="N",
        help="draw only the last N periods of the history [all]",
    )
    add_model_arguments(found, ForecastSpec)
    return found


def main(argv: list[str]) -> int:
    """Run the command."""
    with scratch_folder() as scratch:
        try:
            arguments = parsed(parser(), argv)
            return _draw(arguments, scratch)
        except OptionsError as error:
            return refuse(error)


def _draw(arguments: dict[str, Any], scratch: Path) -> int:
    """Draw, and print where to.

    Raises:
        OptionsError: if something is wrong with the command or its files.
    """
    history = arguments["history"] or ""
    name = history.rpartition("/")[2]
    problems: list[str] = []
    if not history:
        problems.append("HISTORY: is missing; name the CSV that was forecast")
    elif is_uri(history) and not arguments["forecast"]:
        problems.append("FORECAST: is missing; name the forecast in its bucket")
    if arguments["periods"] < 0:
        problems.append(f"--periods: must not be negative (given: {arguments['periods']})")
    if arguments["save"] and Path(arguments["save"]).suffix not in (".png", ".svg"):
        problems.append(f"--save: must end in .png or .svg (given: {arguments['save']!r})")
    if problems:
        raise OptionsError(problems)
    forecast = arguments["forecast"] or str(Path("forecasts") / name)
    if not is_uri(forecast) and not Path(forecast).exists():
        raise OptionsError(
            [f"FORECAST: there is no forecast at {forecast}; run `dropcast forecast {history}` first, or name it"]
        )
    paths = [local_path(history, "HISTORY", scratch), local_path(forecast, "FORECAST", scratch)]
    # how the history was read when it was forecast; options given here come before that
    known = options_of_forecast(forecast, history)
    spec, _, problems = spec_from({**known, **{name: v for name, v in arguments.items() if v is not None}})
    if problems:
        raise OptionsError(problems)
    from pipeline.report.picture import draw  # imports matplotlib

    target = Path(arguments["save"] or f"{name.split('.')[0]}.png")
    names = arguments["series"].split(",") if arguments["series"] else []
    try:
        draw(paths[0], paths[1], spec, Limits(), names, arguments["periods"], target, scratch / "work")
    except LookupError as error:
        raise OptionsError([f"--series: {error}"]) from None
    except RecordError as error:
        raise OptionsError([f"{error.code}  {name}: {error}", f"    {error.hint}"]) from None
    except OSError as error:
        raise OptionsError([f"--save: {target} cannot be written: {error.strerror}"]) from None
    say(printable(str(target)))
    return 0
