"""dropcast plot: history, forecast and interval as a picture."""

from __future__ import annotations

import tempfile
from pathlib import Path

from pipeline.commands import OptionsError, add_model_arguments, parsed, parser_for, refuse
from pipeline.core.forecast_spec import ForecastSpec
from pipeline.core.limits import Limits
from pipeline.core.output_folder import spec_of_forecast
from pipeline.errors import RecordError
from pipeline.options import spec_from


def main(argv: list[str]) -> int:
    """Run the command."""
    parser = parser_for(
        "plot",
        "Draw history, forecast and interval of a CSV's series, as PNG or SVG; components if they were forecast.",
        "dropcast plot sales.csv forecasts/sales.csv --series=north,south --save=sales.png",
        "HISTORY [FORECAST] [OPTION ...]",
    )
    parser.add_argument("history", nargs="?", metavar="HISTORY", help="the CSV that was forecast")
    parser.add_argument("forecast", nargs="?", metavar="FORECAST", help="its forecast [forecasts/<name of the CSV>]")
    parser.add_argument("--series", metavar="ID,...", help="series to draw [the first six]")
    parser.add_argument("--save", metavar="FILE", help="where to: .png or .svg [<name of the CSV>.png]")
    parser.add_argument(
        "--periods",
        type=int,
        default=0,
        metavar="N",
        help="draw the last N periods of the history only [all]",
    )
    add_model_arguments(parser, ForecastSpec)
    try:
        arguments = parsed(parser, argv)
        history = Path(arguments["history"] or "")
        forecast = Path(arguments["forecast"] or Path("forecasts") / history.name)
        # how the history was read when it was forecast; options given here come before that
        known = spec_of_forecast(forecast, history)
        spec, _, problems = spec_from({**known, **{name: v for name, v in arguments.items() if v is not None}})
        if arguments["history"] is None:
            problems.append("HISTORY: is missing; name the CSV that was forecast")
        if arguments["periods"] < 0:
            problems.append(f"--periods: must not be negative (given: {arguments['periods']})")
        if arguments["save"] and Path(arguments["save"]).suffix not in (".png", ".svg"):
            problems.append(f"--save: must end in .png or .svg (given: {arguments['save']!r})")
        if problems:
            raise OptionsError(problems)
    except OptionsError as error:
        return refuse(error)
    from pipeline.core.plot import draw  # imports matplotlib

    target = Path(arguments["save"] or f"{history.name.split('.')[0]}.png")
    names = arguments["series"].split(",") if arguments["series"] else []
    try:
        with tempfile.TemporaryDirectory(prefix="dropcast-") as scratch:
            draw(history, forecast, spec, Limits(), names, arguments["periods"], target, Path(scratch))
    except RecordError as error:
        return refuse(OptionsError([f"{error.code}  {history.name}: {error}", f"    {error.hint}"]))
    except OSError as error:
        return refuse(OptionsError([f"--save: {target} cannot be written: {error.strerror}"]))
    print(target)
    return 0
