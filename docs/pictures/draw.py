"""Draws the pictures of the README and of these pages: `make pictures`. The data are the cookbook's."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.browser import install

HERE = Path(__file__).parent
DATA = HERE.parent / "cookbook/data.py"
OPTIONS = ("--regressors=promo", "--country_holidays=DE", "--horizon=40", "--level=80,95")


def main() -> None:
    """Forecast sample files, and draw what the commands and the report show of them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file in ("sales.csv", "energy.csv"):
            subprocess.run([sys.executable, DATA, file], cwd=folder, check=True)
        dropcast(folder, "forecast", "sales.csv", *OPTIONS)
        dropcast(folder, "forecast", "energy.csv", "--horizon=72")
        dropcast(folder, "plot", "sales.csv", "--series=0007", "--periods=200", f"--save={HERE / 'forecast.png'}")
        dropcast(folder, "report", "--title=Sales by store")
        with served(folder) as url:
            take_pictures(folder / "forecasts/report.html", url, folder)


def dropcast(folder: Path, *arguments: str) -> None:
    """Run a command in a folder."""
    done = subprocess.run([sys.executable, "-m", "pipeline.cli", *arguments], cwd=folder, stdout=subprocess.DEVNULL)
    if done.returncode not in (0, 3):  # 3: the promotions of one store are not planned far enough
        sys.exit(done.returncode)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve forecasts, and give the address."""
    log = folder / "serve.log"
    with log.open("wb") as file:
        process = subprocess.Popen([sys.executable, "-m", "pipeline.cli", "serve", "--port=0"], stderr=file)
    try:
        while not (found := re.search(r"http://[\d.:]+", log.read_text())):
            time.sleep(0.1)
        yield found[0]
    finally:
        process.kill()
        process.wait()


def take_pictures(report: Path, url: str, folder: Path) -> None:
    """Take pictures of a report, as it opens and of one series, and of the service's page."""
    chromium = install.chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium.program,
            env=dict(chromium.environment(folder)),
            args=["--font-render-hinting=none"],
        )
        page = browser.new_page(viewport={"width": 1100, "height": 760}, locale="en-US", reduced_motion="reduce")
        page.goto(report.as_uri())
        page.screenshot(path=HERE / "report.png")
        page.locator("#series button.open").nth(1).click()
        page.locator("#detail canvas").first.wait_for()
        page.locator("#detail").scroll_into_view_if_needed()
        page.screenshot(path=HERE / "report-series.png")
        page = browser.new_page(viewport={"width": 1280, "height": 1700}, locale="en-US", reduced_motion="reduce")
        page.goto(url)
        page.set_input_files("#file", folder / "sales.csv")
        page.locator("#found tr").first.wait_for()
        page.fill("#horizon", "40")
        page.click("#forecast")
        page.frame_locator("#report").locator("#detail canvas").first.wait_for()
        page.screenshot(path=HERE / "service.png")
        browser.close()


if __name__ == "__main__":
    main()
