"""The page at /docs in a real browser: it lists what is served, and asks nobody else for it."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Page, async_playwright

from gateway.openapi.document import document, plain_path
from gateway.openapi.operations import OPERATIONS
from gateway.routes import ROUTES
from tests.gateway.conftest import Stack

CHROMIUM = shutil.which("chromium")
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="there is no browser here: apt-get install chromium"
)


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        try:
            yield await browser.new_page()
        finally:
            await browser.close()


@needs_chromium
@pytest.mark.parametrize("prefix", ["", "/p/home"])
async def test_the_page_lists_every_operation_and_loads_nothing_from_elsewhere(
    stack: Stack, page: Page, prefix: str
):
    asked: list[str] = []
    told: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    await page.goto(f"{stack.url}{prefix}/docs")
    await page.wait_for_selector(".opblock", timeout=30_000)
    shown = await page.locator(".opblock").count()
    described = document(ROUTES, OPERATIONS)["paths"]
    assert shown == sum(map(len, described.values()))
    listed = await page.locator(".opblock-summary-path").evaluate_all(
        "found => found.map(each => each.dataset.path)"
    )
    assert set(listed) == {plain_path(route.path) for route in ROUTES}
    here = urlsplit(stack.url).netloc
    assert {urlsplit(url).netloc for url in asked if not url.startswith("data:")} == {here}
    assert told == []


@needs_chromium
async def test_an_operation_opens_and_can_be_tried(stack: Stack, page: Page):
    await page.goto(f"{stack.url}/docs")
    block = page.locator("#operations-lair-get_health")
    await block.locator(".opblock-summary-control").click()
    await block.locator("button.execute").click()
    answer = block.locator(".live-responses-table .response-col_status").last
    await answer.wait_for(timeout=30_000)
    assert "200" in await answer.inner_text()
