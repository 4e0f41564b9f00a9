"""dropcast report: a run as one HTML page."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline.commands import OptionsError, parsed, parser_for, refuse
from pipeline.commands.sending import needs_clients
from pipeline.core.plain_text import printable
from pipeline.core.requests.uris import is_uri
from pipeline.core.scratch import scratch_folder
from pipeline.terminal import say

MOST = 10_000


def parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    found = parser_for(
        "report",
        "Write a run's results as one HTML page, which needs neither network nor server: files, scores, each series "
        "with its forecast and components, the worst first, and why some were not forecast.",
        "dropcast report forecasts --save=report.html",
        "[DIR] [OPTION ...]",
    )
    found.add_argument(
        "place", nargs="?", metavar="DIR", help="output of a run: a folder or gs://bucket/prefix [forecasts]"
    )
    found.add_argument("--save", metavar="FILE", help="file to write [report.html in DIR; for a bucket, here]")
    found.add_argument("--most", metavar="N", default=str(MOST), help="series to show, the worst first [%(default)s]")
    found.add_argument("--title", metavar="TEXT", help="title of the page")
    return found


def main(argv: list[str]) -> int:
    """Run the command."""
    try:
        arguments = parsed(parser(), argv)
        place = arguments["place"] or "forecasts"
        if not arguments["most"].isdecimal() or not 0 < int(arguments["most"]) <= 1_000_000:
            raise OptionsError([f"--most: must be a number from 1 to 1,000,000 (given: {arguments['most']!r})"])
        if is_uri(place):
            needs_clients()
        target = Path(arguments["save"] or ("report.html" if is_uri(place) else Path(place) / "report.html"))
        if target.suffix not in (".html", ".htm"):
            raise OptionsError([f"--save: must end in .html (given: {arguments['save']!r})"])
        title = arguments["title"] or _title(place)
        page = report(place, title, int(arguments["most"]))
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(page)
        except OSError as error:
            raise OptionsError([f"--save: {target} cannot be written: {error.strerror}"]) from None
    except FileNotFoundError as error:
        return refuse(OptionsError([f"DIR: {error}"]))
    except OptionsError as error:
        return refuse(error)
    say(printable(str(target)))
    return 0


def _title(place: str) -> str:
    name = place if is_uri(place) else Path(place).absolute().name
    return "Forecasts" if name == "forecasts" else f"Forecasts in {name}"


def report(place: str, title: str, most: int = MOST) -> bytes:
    """Return the page.

    Args:
        place: output of a run, a folder or gs://bucket/prefix.
        title: what the page is called.
        most: how many series it shows, the worst first.

    Raises:
        FileNotFoundError: if nothing was forecast there.
    """
    from pipeline.places import open_results
    from pipeline.report.page import Page  # these import DuckDB and the engine
    from pipeline.report.series import series_of_file

    with scratch_folder() as scratch:
        results = open_results(place, scratch)
        files = results.files()
        page = Page(title, files, results.strays(), most, results.live_accuracy())
        for number, file in enumerate(files):
            page.add(series_of_file(results, number, file, scratch / "work"))
        return page.html()
