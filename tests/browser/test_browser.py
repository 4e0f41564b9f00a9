"""What tests of pages are built on does what it says, and finds what it is to find."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import CALM, DARK, PHONE, NewPage, accessibility_violations, first_paint_ms

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[2]
SAMPLE = (Path(__file__).parent / "sample.html").as_uri()


def style(page: Page, selector: str, name: str) -> str:
    return str(page.locator(selector).evaluate(f"element => getComputedStyle(element).{name}"))


def test_a_page_is_clicked_and_typed_at(page: Page) -> None:
    page.goto(SAMPLE)
    assert page.viewport_size == {"width": 1280, "height": 900}
    button = page.get_by_role("button", name="Details")
    expect(page.get_by_text("Größe")).to_be_hidden()
    button.click()
    expect(page.get_by_text("Größe")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_text("Größe")).to_be_hidden()
    button.press("Enter")
    expect(button).to_have_attribute("aria-expanded", "true")


def test_a_screenshot_shows_text_in_the_tests_own_fonts(page: Page, tmp_path: Path) -> None:
    page.goto(SAMPLE)
    path = tmp_path / "heading.png"
    page.locator("h1").screenshot(path=path)
    dark = imread(path)[:, :, :3].mean(axis=2) < 0.5
    assert 0.001 < dark.mean() < 0.2
    assert np.flatnonzero(dark.any(axis=0)).size > 50
    # A sign that no font has is drawn as a box of one width.
    box = page.locator("h1").evaluate(WIDTH, "\ue123")
    assert all(page.locator("h1").evaluate(WIDTH, sign) != box for sign in "→±✓–")


WIDTH = """(heading, text) => {
  const span = heading.appendChild(document.createElement("span"))
  span.textContent = text
  const width = span.getBoundingClientRect().width
  span.remove()
  return width
}"""


def test_dark_mode_a_phone_and_reduced_motion(new_page: NewPage) -> None:
    plain, phone = new_page(), new_page(**PHONE, **DARK, **CALM)
    for page in plain, phone:
        page.goto(SAMPLE)
    assert style(plain, "body", "backgroundColor") == "rgb(255, 255, 255)"
    assert style(phone, "body", "backgroundColor") == "rgb(17, 17, 17)"
    assert (style(plain, "#panel", "fontSize"), style(phone, "#panel", "fontSize")) == ("16px", "32px")
    assert (style(plain, "#panel", "transitionDuration"), style(phone, "#panel", "transitionDuration")) == ("1s", "0s")
    phone.get_by_role("button").tap()
    expect(phone.get_by_text("Größe")).to_be_visible()
    plain.emulate_media(color_scheme="dark")
    assert style(plain, "body", "backgroundColor") == "rgb(17, 17, 17)"


def test_the_first_paint_is_measured(page: Page) -> None:
    page.goto(SAMPLE)
    assert 0 < first_paint_ms(page) < 30_000


def test_accessibility_is_checked(page: Page) -> None:
    page.goto(SAMPLE)
    assert accessibility_violations(page) == []
    page.get_by_role("main").evaluate("""main => main.innerHTML += '<input><p style="color: #ccc">pale</p>'""")
    found = accessibility_violations(page)
    assert sorted(violation.split()[0] for violation in found) == ["color-contrast", "label"], found


@pytest.mark.parametrize(
    ("script", "trouble"),
    [
        ("fetch('http://example.com/numbers')", "asks the network: http://example.com/numbers"),
        ("new Image().src = 'https://example.com/a.png'", "asks the network: https://example.com/a.png"),
        ("new WebSocket('wss://example.com/live')", "asks the network: wss://example.com/live"),
        ("missing()", "raises: ReferenceError: missing is not defined"),
        ("console.error('no data')", "logs: no data"),
    ],
)
def test_a_pages_fault_is_noticed(page: Page, troubles: list[str], tmp_path: Path, script: str, trouble: str) -> None:
    path = tmp_path / "faulty.html"
    path.write_text(f"<!doctype html><title>Faulty</title><script>{script}</script>")
    page.goto(path.as_uri())
    end = time.monotonic() + 10
    while not troubles and time.monotonic() < end:  # the browser tells of it when it comes to it
        page.wait_for_timeout(20)
    page.context.close()
    assert any(found.startswith(trouble) for found in troubles), troubles
    troubles.clear()


def test_a_fault_fails_the_test_that_did_not_look_for_it(browser: Browser, tmp_path: Path) -> None:
    test = "def test(page):\n    page.goto('data:text/html,<script>missing()</script>')\n"
    (tmp_path / "test_page.py").write_text(test)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.browser.conftest", tmp_path / "test_page.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "The page has faults:" in done.stdout
    assert "raises: ReferenceError: missing is not defined" in done.stdout
