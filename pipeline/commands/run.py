"""dropcast run: the Beam pipeline."""

from __future__ import annotations


def main(argv: list[str]) -> int:
    """Run the command."""
    from pipeline import main as entry  # imports Beam, which takes seconds

    return entry.main(argv)
