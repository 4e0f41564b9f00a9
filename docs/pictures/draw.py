"""Draws the pictures of the README and of these pages: `make pictures`. The data are the cookbook's."""

from __future__ import annotations

import subprocess
import sys
import tempfile
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
        take_pictures(folder / "forecasts/report.html", folder)


def dropcast(folder: Path, *arguments: str) -> None:
    """Run a command in a folder."""
    done = subprocess.run([sys.executable, "-m", "pipeline.cli", *arguments], cwd=folder, stdout=subprocess.DEVNULL)
    if done.returncode not in (0, 3):  # 3: the promotions of one store are not planned far enough
        sys.exit(done.returncode)


def take_pictures(report: Path, folder: Path) -> None:
    """Take pictures of a report: of the page as it opens, and of one series."""
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
        browser.close()


if __name__ == "__main__":
    main()
