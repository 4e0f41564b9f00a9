"""dropcast completion: completes commands, options and files in a shell."""

from __future__ import annotations

import argparse
import importlib

import shtab

from pipeline.cli import COMMANDS
from pipeline.commands import OptionsError, parsed, parser_for, refuse
from pipeline.terminal import say

SHELLS = ("bash", "zsh", "tcsh")
_FILES = ("FILE", "HISTORY", "FORECAST", "INBOX", "OUTBOX", "DIR", "PATTERN")


def parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    found = parser_for(
        "completion",
        "Print a script that lets a shell complete commands, options and files. Load it once, or from the shell's "
        "startup file.",
        'eval "$(dropcast completion bash)"',
        "[bash | zsh | tcsh]",
    )
    found.add_argument("shell", nargs="?", metavar="SHELL", default="bash", help="bash, zsh or tcsh [bash]")
    return found


def main(argv: list[str]) -> int:
    """Run the command."""
    try:
        shell = parsed(parser(), argv)["shell"]
        if shell not in SHELLS:
            raise OptionsError([f"SHELL: must be one of {', '.join(SHELLS)} (given: {shell!r})"])
    except OptionsError as error:
        return refuse(error)
    say(shtab.complete(_whole_parser(), shell))
    return 0


def _whole_parser() -> argparse.ArgumentParser:
    """Return all commands as one parser; each is otherwise imported only when it is run."""
    whole = argparse.ArgumentParser(prog="dropcast")
    whole.add_argument("--version", action="store_true", help="print the version")
    commands = whole.add_subparsers()
    for name, text in COMMANDS.items():
        part = importlib.import_module(f"pipeline.commands.{name}").parser()
        for action in part._actions:
            metavar = action.metavar if isinstance(action.metavar, str) else ""
            if "|" in metavar:
                action.choices = metavar.split("|")
            elif metavar.startswith(_FILES):
                action.complete = shtab.FILE
        commands.add_parser(name, parents=[part], add_help=False, help=text)
    return whole
