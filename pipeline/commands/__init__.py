"""One command per module: `main(argv)` returns the exit code."""

from __future__ import annotations

import argparse
from typing import Any

from pipeline.options import OptionsError, add_model_arguments, unknown_options, with_underscores
from pipeline.terminal import complain


def parser_for(name: str, description: str, example: str, usage: str) -> argparse.ArgumentParser:
    """Return a command's parser; options are never abbreviated, so that a new one breaks no script."""
    return argparse.ArgumentParser(
        prog=f"dropcast {name}", description=description, usage=f"dropcast {name} {usage}", allow_abbrev=False,
        epilog=f"example:\n  {example}", formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip


def parsed(parser: argparse.ArgumentParser, argv: list[str]) -> dict[str, Any]:
    """Return parsed arguments by name.

    Raises:
        OptionsError: for unknown arguments.
    """
    arguments, unknown = parser.parse_known_args(with_underscores(argv))
    if unknown:
        known = [name for action in parser._actions for name in action.option_strings]
        raise OptionsError(unknown_options(unknown, known))
    return vars(arguments)


def refuse(error: OptionsError) -> int:
    """Print the problems of a command and return its exit code."""
    complain(error.lines)
    return 2


__all__ = ["OptionsError", "add_model_arguments", "parsed", "parser_for", "refuse"]
