"""The service's page in a browser: a file is dropped, checked, forecast, drawn and saved."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from pipeline import cli
from tests.browser.conftest import DARK, PHONE, NewPage, accessibility_violations
from tests.conftest import daily_series
from tests.service.test_on_request import started

pytestmark = pytest.mark.browser
KEY = "a-key-for-this-test"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    process, found = started(tmp_path_factory.mktemp("served"), "--horizon=14")
    yield found
    process.kill()
    process.wait()


@pytest.fixture
def served(page: Page, url: str, allowed: list[str]) -> Page:
    """Return the page, which may ask its own server and nobody else."""
    allowed.append(f"{url}/")
    page.goto(url)
    return page


@pytest.fixture
def stores(tmp_path: Path) -> Path:
    lines = [f"{s},{line}" for s in ("north", "<b>south</b>") for line in daily_series(90).splitlines()[1:]]
    path = tmp_path / "stores.csv"
    path.write_text("store,date,sales\n" + "\n".join(lines) + "\nshort,2024-01-01,1\n")
    return path


def test_a_file_is_checked_forecast_drawn_and_saved(served: Page, stores: Path, tmp_path: Path) -> None:
    served.get_by_label("Drop a file here").set_input_files(stores)
    expect(served.get_by_role("status")).to_have_text("stores.csv can be forecast, except 1 series.")
    found = served.get_by_role("region", name="Table of what is in the file")
    expect(found).to_contain_text("Value column")
    expect(found).to_contain_text("sales")
    expect(served.locator("#problems")).to_contain_text("TOO_FEW_ROWS Series short:")
    served.get_by_label("Horizon").fill("7")
    served.get_by_role("button", name="Forecast", exact=True).click()
    expect(served.get_by_role("status")).to_have_text("2 series forecast, 1 not.")
    report = served.frame_locator("#report")
    expect(report.get_by_role("heading", name="stores.csv")).to_be_visible()
    expect(report.locator("#problem-list")).to_contain_text("Series short: stores.csv: The series has one value")
    expect(report.locator("main > section").first).to_have_id("all-series")
    report.get_by_role("button", name="<b>south</b>").click()
    expect(report.locator("#detail canvas").first).to_be_visible()
    with served.expect_download() as download:
        served.get_by_role("button", name="Download").click()
    saved = Path(download.value.path()).read_bytes()
    assert download.value.suggested_filename == "stores.forecast.csv"
    cli.main(["forecast", str(stores), f"--output={tmp_path}/out", "--horizon=7", "--quiet"])
    assert saved == (tmp_path / "out/stores.csv").read_bytes()


def test_a_hint_can_be_pasted(served: Page, tmp_path: Path) -> None:
    path = tmp_path / "days.csv"
    path.write_text("date,y\n" + "".join(f"0{d % 9 + 1}/0{d // 9 + 1}/2024,{d}\n" for d in range(36)))
    served.get_by_label("Drop a file here").set_input_files(path)
    expect(served.locator("#problems")).to_contain_text("--date_format='%d/%m/%Y'")
    expect(served.get_by_role("status")).to_have_text("days.csv cannot be forecast as it is.")
    expect(served.locator("#findings")).to_be_hidden()
    served.get_by_label("More options").fill("--date_format='%d/%m/%Y' frequency=D")
    served.get_by_role("button", name="Check").click()
    expect(served.get_by_role("status")).to_have_text("days.csv has no problems.")
    served.get_by_label("More options").fill("nonsense")
    served.get_by_role("button", name="Check").click()
    expect(served.get_by_role("status")).to_contain_text("nonsense is not --name=value")


def test_a_dropped_file_is_taken(served: Page) -> None:
    transfer = served.evaluate_handle(
        """content => {
            const data = new DataTransfer();
            data.items.add(new File([content], "dropped.csv", {type: "text/csv"}));
            return data;
        }""",
        daily_series(60),
    )
    served.dispatch_event("#drop", "dragenter", {"dataTransfer": transfer})
    expect(served.locator("#drop")).to_have_class("over")
    served.dispatch_event("#drop", "drop", {"dataTransfer": transfer})
    expect(served.get_by_role("status")).to_have_text("dropped.csv has no problems.")
    expect(served.locator("#drop")).not_to_have_class("over")


def test_by_keyboard_alone(served: Page, stores: Path) -> None:
    served.keyboard.press("Tab")
    expect(served.locator("#file")).to_be_focused()
    served.set_input_files("#file", stores)
    expect(served.get_by_role("button", name="Forecast", exact=True)).to_be_enabled()
    for name in ("horizon", "level", "model", "more", "check", "forecast"):
        served.keyboard.press("Tab")
        expect(served.locator(f"#{name}")).to_be_focused()
    served.keyboard.press("Enter")
    expect(served.locator("#drawn-heading")).to_be_focused()


def test_a_key_is_asked_for(page: Page, tmp_path: Path, allowed: list[str], troubles: list[str], stores: Path) -> None:
    (tmp_path / "keys").write_text(KEY)
    process, url = started(tmp_path, f"--api_keys_file={tmp_path}/keys")
    try:
        allowed.append(f"{url}/")
        page.goto(url)
        page.get_by_label("Drop a file here").set_input_files(stores)
        expect(page.locator("#problems")).to_contain_text("UNAUTHORIZED A key is needed.")
        page.get_by_label("Key").fill(KEY)
        page.get_by_role("button", name="Check").click()
        expect(page.get_by_role("status")).to_contain_text("can be forecast")
        assert [one for one in troubles if "401" in one]
        troubles.clear()  # a browser logs the refusal as an error
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("options", [{}, DARK, PHONE], ids=["plain", "dark", "phone"])
def test_everybody_can_use_it(
    new_page: NewPage, url: str, allowed: list[str], stores: Path, options: dict[str, object]
) -> None:
    allowed.append(f"{url}/")
    page = new_page(**options)
    page.goto(url)
    assert accessibility_violations(page) == []
    page.get_by_label("Drop a file here").set_input_files(stores)
    expect(page.locator("#problems")).to_be_visible()
    assert accessibility_violations(page) == []
    page.get_by_role("button", name="Forecast", exact=True).click()
    expect(page.locator("#drawn")).to_be_visible()
    assert accessibility_violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.goto(f"{url}/docs")
    assert accessibility_violations(page) == []
