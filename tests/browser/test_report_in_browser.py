"""The report in a browser: what a person clicks, types and sees."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from pipeline.commands.report import report
from pipeline.folder.run import forecast_files
from pipeline.runs import run_from
from tests.browser.conftest import CALM, DARK, PHONE, NewPage, accessibility_violations, first_paint_ms
from tests.conftest import daily_series

pytestmark = pytest.mark.browser
STORES = 120


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Reports of a table of stores with a bad one, of a single series, and of nothing but failures."""
    root = tmp_path_factory.mktemp("reports")
    lines = [f"{s:03d},{line}" for s in range(STORES) for line in daily_series(90, seed=s).splitlines()[1:]]
    stores = "store,date,y\n" + "\n".join(lines) + "\n<b>short</b>,2024-01-01,1\n"
    contents = {
        "stores": {"stores.csv": stores, "bad.csv": "date,y\n"},
        "single": {"single.csv": daily_series(400)},
        "failed": {"bad.csv": "date,y\n"},
        "auto": {"stores.csv": stores},
    }
    made = {}
    for name, files in contents.items():
        (root / name).mkdir()
        for file, text in files.items():
            (root / name / file).write_text(text)
        out = root / f"{name}-out"
        model = "auto" if name == "auto" else "prophet"
        forecast_files(run_from({"output": str(out), "level": "80,95", "model": model}, [f"{root}/{name}/*"]))
        made[name] = out / "report.html"
        made[name].write_bytes(report(str(out), f"Report of {name}"))
    return made


def names(page: Page) -> list[str]:
    return page.locator("#series button.open").all_inner_texts()


def opened(page: Page, name: str) -> Locator:
    """Wait until a series is drawn."""
    expect(page.locator("#detail-heading")).to_have_text(name)
    detail = page.locator("#detail")
    expect(detail.locator("canvas").first).to_be_visible()
    return detail


def test_what_it_shows_first(page: Page, pages: dict[str, Path]) -> None:
    page.goto(pages["stores"].as_uri())
    expect(page).to_have_title("Report of stores")
    expect(page.locator("#lead")).to_contain_text("2 files, 120 series forecast")
    assert re.sub(r"\s+", " ", page.locator("#tiles").inner_text()).startswith(
        "1 file forecast 1 file not forecast 120 series forecast 1 series not forecast"
    )
    expect(page.locator("#problems")).to_contain_text("NO_ROWS")
    expect(page.locator("#problems")).to_contain_text("TOO_FEW_ROWS")
    assert names(page)[0] == "<b>short</b>"
    opened(page, names(page)[1])  # the worst that there is a picture of
    page.get_by_role("button", name="<b>short</b>").click()
    expect(page.locator("#detail .problem")).to_contain_text("TOO_FEW_ROWS")
    expect(page.locator("#found")).to_have_text("121 series found, 100 listed.")


def test_search_filter_sort_and_more(page: Page, pages: dict[str, Path]) -> None:
    page.goto(pages["stores"].as_uri())
    page.get_by_role("button", name="Show 21 more").click()
    assert len(names(page)) == STORES + 1
    page.get_by_label("Search").fill("01")
    expect(page.locator("#found")).to_contain_text("12 series found")
    assert all("01" in name for name in names(page))
    page.get_by_label("Search").fill("no such store")
    assert names(page) == []
    page.get_by_label("Search").fill("")
    page.get_by_label("Show", exact=True).select_option("failed")
    assert names(page) == ["<b>short</b>"]
    page.get_by_label("Show", exact=True).select_option("better")
    scores = [float(text) for text in page.locator("#series tbody td:nth-child(3)").all_inner_texts()]
    assert max(scores) <= 1
    page.get_by_label("Show", exact=True).select_option("all")
    page.get_by_role("button", name="Series", exact=True).click()
    assert names(page)[:2] == ["000", "001"]
    expect(page.locator("th[aria-sort=ascending]")).to_have_text("Series")
    page.get_by_role("button", name="MASE", exact=True).click()
    page.get_by_role("button", name="MASE", exact=True).click()
    scores = [float(text) for text in page.locator("#series tbody td:nth-child(3)").all_inner_texts()[:100]]
    assert scores == sorted(scores)


def test_a_series_is_opened_by_mouse_and_by_keyboard(page: Page, pages: dict[str, Path]) -> None:
    page.goto(pages["stores"].as_uri())
    page.get_by_role("button", name="007", exact=True).click()
    detail = opened(page, "007")
    expect(detail).to_contain_text("90 values, to 2024-03-30")
    assert detail.locator("h4").all_inner_texts()[1:] == ["trend", "weekly"]
    detail.get_by_text("The forecast as a table").click()
    rows = detail.locator("table:has(caption) tbody tr")
    expect(rows).to_have_count(28)
    assert rows.first.locator("td").all_inner_texts()[0] == "2024-03-31"
    assert len(rows.first.locator("td").all()) == 6
    detail.get_by_role("button", name="Forecast", exact=True).click()
    expect(detail.get_by_role("button", name="Forecast", exact=True)).to_have_attribute("aria-pressed", "true")

    page.get_by_role("button", name="007", exact=True).focus()
    listed = names(page)
    page.keyboard.press("ArrowDown")
    below = listed[listed.index("007") + 1]
    opened(page, below)
    page.keyboard.press("Enter")
    expect(page.locator("#detail")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name=below, exact=True)).to_be_focused()


def test_a_series_of_auto_shows_its_members_and_what_was_forecast_before(page: Page, pages: dict[str, Path]) -> None:
    page.goto(pages["auto"].as_uri())
    worst = names(page)[1]  # after the one that has no forecast
    page.get_by_role("button", name=worst, exact=True).click()
    detail = opened(page, worst)
    expect(detail.locator("dt")).to_contain_text(["Combined from", "Past forecasts"])
    expect(detail).to_contain_text("inside the 95 % interval")
    expect(detail.locator(".u-legend")).to_contain_text("Past forecasts")


@pytest.mark.parametrize("name", ["stores", "single", "failed", "auto"])
@pytest.mark.parametrize("options", [{}, DARK, {**PHONE, **CALM}], ids=["plain", "dark", "phone"])
def test_anybody_can_read_it(new_page: NewPage, pages: dict[str, Path], name: str, options: dict[str, str]) -> None:
    page = new_page(**options)
    page.goto(pages[name].as_uri())
    if name == "single":
        opened(page, "single.csv")
        page.get_by_text("The forecast as a table").click()
    assert accessibility_violations(page) == []
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, f"the page is {wide} pixels wider than the screen"


def test_on_a_phone_a_button_leads_back_to_the_list(new_page: NewPage, pages: dict[str, Path]) -> None:
    page = new_page(**PHONE)
    page.goto(pages["stores"].as_uri())
    page.get_by_role("button", name="007", exact=True).click()
    opened(page, "007")
    page.get_by_role("button", name="Back to the list").click()
    expect(page.get_by_role("button", name="007", exact=True)).to_be_focused()
    expect(page.get_by_role("button", name="007", exact=True)).to_be_in_viewport()


def test_colours_follow_the_scheme_while_it_is_open(page: Page, pages: dict[str, Path]) -> None:
    page.goto(pages["single"].as_uri())
    opened(page, "single.csv")
    chart = page.locator("#detail .chart").first  # stays while its canvas is drawn anew
    light = chart.screenshot()
    page.emulate_media(color_scheme="dark")
    expect(page.locator("html")).to_have_css("background-color", "rgb(15, 19, 24)")
    opened(page, "single.csv")
    assert chart.screenshot() != light
    ink = page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--forecast')")
    assert ink.strip() == "#58a6ff"


def test_a_run_in_which_all_failed(page: Page, pages: dict[str, Path]) -> None:
    page.goto(pages["failed"].as_uri())
    expect(page.locator("#problems")).to_contain_text("Add rows, or check the export.")
    expect(page.locator("#found")).to_have_text("There are no series to show.")


def test_ten_thousand_series_are_there_at_once(page: Page, tmp_path: Path) -> None:
    days = daily_series(30).splitlines()[1:]
    (tmp_path / "many.csv").write_text(
        "store,date,y\n" + "".join(f"s{s},{day}\n" for s in range(10_000) for day in days)
    )
    forecast_files(run_from({"output": str(tmp_path / "out"), "horizon": "7"}, [str(tmp_path / "many.csv")]))
    path = tmp_path / "report.html"
    path.write_bytes(report(str(tmp_path / "out"), "Many"))
    page.goto(path.as_uri(), wait_until="commit")
    assert first_paint_ms(page) < 3000  # a quarter of a second where nothing else runs
    page.get_by_label("Search").fill("s9999")
    page.get_by_role("button", name="s9999", exact=True).click()
    opened(page, "s9999")
