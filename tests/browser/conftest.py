"""A real browser for tests of pages, and what they ask of a page.

    @pytest.mark.browser
    def test_the_report(page: Page, new_page: NewPage, report: Path) -> None:
        page.goto(report.as_uri())
        assert accessibility_violations(page) == []
        phone = new_page(**PHONE, **DARK)

A test fails, whatever it asserts, if one of its pages has an error or asks the network for anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, Protocol

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.browser import install
from tests.downloads import Unavailable, required

# For `new_page`, alone or together. A page that is open changes over by `page.emulate_media(color_scheme="dark")`.
DARK = {"color_scheme": "dark"}
CALM = {"reduced_motion": "reduce"}
PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 3, "is_mobile": True, "has_touch": True}

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


class NewPage(Protocol):
    """Open a page of its own context; the options are those of Playwright's `Browser.new_context`."""

    def __call__(self, **options: Any) -> Page: ...


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Return the browser, or skip the test if there is none to be had."""
    try:
        chromium = install.chromium()
        install.axe()
    except Unavailable as reason:
        if required("DROPCAST_REQUIRE_BROWSER"):
            raise
        pytest.skip(str(reason))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium.program,
            env=dict(chromium.environment(tmp_path_factory.mktemp("browser"))),
            # No name leads anywhere, and letters have the same widths whatever the machine's settings.
            args=["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--font-render-hinting=none"],
        )
        yield browser
        browser.close()


@pytest.fixture
def troubles() -> Iterator[list[str]]:
    """Return what went wrong in the test's pages; the test fails if it isn't empty in the end."""
    found: list[str] = []
    yield found
    assert not found, "\n".join(["The page has faults:", *found])


@pytest.fixture
def allowed() -> list[str]:
    """Return the beginnings of URLs that pages may ask for, besides files; a test adds its own server's."""
    return ["file:", "data:", "blob:"]


@pytest.fixture
def new_page(browser: Browser, troubles: list[str], allowed: list[str]) -> Iterator[NewPage]:
    """Return a function that opens a page, 1280 by 900 if the options don't say otherwise."""
    contexts: list[BrowserContext] = []

    def open_page(**options: Any) -> Page:
        # a locale of its own: that of an environment without one is no language tag
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, "locale": "en-US", **options})
        contexts.append(context)
        _watch(context, troubles, allowed)
        return context.new_page()

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture
def page(new_page: NewPage) -> Page:
    """Return a page."""
    return new_page()


def accessibility_violations(page: Page) -> list[str]:
    """Return what axe-core finds wrong with the page as it is now: which rule, where, and what would fix it."""
    page.evaluate(_axe())
    options = {"runOnly": {"type": "tag", "values": RULES}, "resultTypes": ["violations"]}
    result = page.evaluate("options => axe.run(document, options)", options)
    return [
        f"{rule['id']} ({rule['impact']}): {rule['help']}; {' '.join(map(str, node['target']))}: "
        + " ".join(node["failureSummary"].split())
        for rule in result["violations"]
        for node in rule["nodes"]
    ]


def first_paint_ms(page: Page) -> float:
    """Return how long after its request the page first showed text or a drawing, in milliseconds."""
    paint = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
    return float(page.wait_for_function(paint).json_value())


@cache
def _axe() -> str:
    return install.axe().read_text()


def _watch(context: BrowserContext, troubles: list[str], allowed: list[str]) -> None:
    def requested(url: str) -> None:
        if not url.startswith(tuple(allowed)):
            troubles.append(f"asks the network: {url}")

    context.on("request", lambda request: requested(request.url))
    # A web socket is no request to the browser.
    context.on("page", lambda page: page.on("websocket", lambda socket: requested(socket.url)))
    context.on("weberror", lambda error: troubles.append(f"raises: {error.error.stack or error.error}"))
    context.on("console", lambda said: troubles.append(f"logs: {said.text}") if said.type == "error" else None)
