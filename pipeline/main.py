"""The pipeline's entry: python -m pipeline.main --input=... --output=... --runner=...

Takes Beam's own options besides Dropcast's.
"""

from __future__ import annotations

import argparse
import sys

from pipeline import logs
from pipeline.options import OptionsError, add_run_arguments
from pipeline.terminal import carried_out, complain, say


def main(argv: list[str] | None = None) -> int:
    """Run the pipeline as a program; return its exit code."""
    return carried_out(lambda: _main(sys.argv[1:] if argv is None else argv))


def _main(argv: list[str]) -> int:
    if {"-h", "--help"} & set(argv):
        say(parser().format_help(), end="")
        return 0
    logs.set_up()
    from pipeline import launch  # imports Beam, which takes seconds, and logs at once

    try:
        return launch.run(argv)
    except OptionsError as error:
        complain(error.lines)
        return 2


def parser() -> argparse.ArgumentParser:
    """Return the parser of Dropcast's options; Beam has its own."""
    found = argparse.ArgumentParser(
        prog="python -m pipeline.main",
        allow_abbrev=False,
        usage="%(prog)s --input=PATTERN --output=DIR [OPTION ...]",
        description="Forecast every series in every CSV that matches a pattern, with Apache Beam. Takes Beam's own "
        "options too, such as --runner=DirectRunner.",
        epilog="examples:\n"
        "  python -m pipeline.main --input='in/**/*.csv' --output=forecasts --runner=DirectRunner\n"
        "  python -m pipeline.main --input_subscription=projects/acme/subscriptions/uploads \\\n"
        "    --output=gs://acme-forecasts/daily --dataset=acme.forecasts\n"
        "`dropcast run` is short for `python -m pipeline.main`.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_run_arguments(found)
    return found


if __name__ == "__main__":
    sys.exit(main())
