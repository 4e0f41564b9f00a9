"""dropcast run: the Beam pipeline."""

from __future__ import annotations

import argparse

from pipeline import main as entry


def parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    return entry.parser()


def main(argv: list[str]) -> int:
    """Run the command."""
    return entry.main(argv)
