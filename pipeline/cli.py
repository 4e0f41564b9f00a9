"""dropcast: the command line, a thin skin over the library."""

from __future__ import annotations

import difflib
import importlib
import sys

from pipeline import __version__, logs
from pipeline.terminal import carried_out, complain, say

COMMANDS = {
    "forecast": "forecast CSV files on this machine, without Beam",
    "watch": "forecast files as they are dropped into a folder",
    "check": "show what would be done with a CSV, without fitting anything",
    "plot": "draw the history, forecast and interval of series",
    "report": "write a run's results as one HTML page",
    "compare": "compare both engines and a seasonal naive forecast",
    "evaluate": "compare the models on the past of each series",
    "serve": "serve HTTP: forecast what Pub/Sub pushes",
    "query": "query the tables in SQL",
    "run": "run the Beam pipeline",
    "reconcile": "forecast files in a folder or bucket that have no receipt",
    "replay": "retry what is among the dead letters",
    "completion": "print a script that completes commands, options and files",
}

_LISTED = "\n".join(f"  {name:<11}{text}" for name, text in COMMANDS.items())

HELP = """usage: dropcast COMMAND [OPTION ...]

Drop a CSV of time series, get forecasts with intervals back.

commands:
{commands}

`dropcast COMMAND --help` lists a command's options.

examples:
  dropcast forecast sales.csv                   writes forecasts/sales.csv
  dropcast forecast sales.csv --horizon=12 --level=80,95
  dropcast check sales.csv
  dropcast plot sales.csv --save=sales.png
  dropcast report                               writes forecasts/report.html
  dropcast watch inbox forecasts                forecasts files dropped into a folder
  dropcast query                                lists tables, views and queries to start from

exit codes: 0 everything was forecast; 3 finished, but something could not be forecast;
2 wrong command or options; 1 any other error
""".replace("{commands}", _LISTED)


def main(argv: list[str] | None = None) -> int:
    """Run a command; return its exit code."""
    return carried_out(lambda: _main(sys.argv[1:] if argv is None else argv))


def _main(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help", "help"):
        say(HELP, end="")
        return 0 if argv else 2
    if argv[0] == "--version":
        say(f"dropcast {__version__}")
        return 0
    if argv[0] not in COMMANDS:
        near = difflib.get_close_matches(argv[0], COMMANDS, 1)
        meant = f"did you mean {near[0]}? " if near else ""
        complain(f"dropcast: unknown command {argv[0]!r}; {meant}The commands are {', '.join(COMMANDS)}.")
        return 2
    command = importlib.import_module(f"pipeline.commands.{argv[0]}")
    logs.set_up_for_command()
    code: int = command.main(argv[1:])
    return code


if __name__ == "__main__":
    sys.exit(main())
