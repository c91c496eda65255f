"""The page of a report in a real browser: folded, on a phone, filtered, printed, and checked by axe-core."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.conftest import TrackedRun

pytestmark = pytest.mark.slow

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
if "COMMUNIQUE_NO_BROWSER" in os.environ:
    pytest.skip("COMMUNIQUE_NO_BROWSER is set", allow_module_level=True)
CUT = "[...document.querySelectorAll('table')].filter((own) => own.scrollWidth > own.parentElement.clientWidth).length"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(params=[("light", 1200), ("dark", 390)], ids=["desktop", "dark phone"])
def page(browser: Any, tracked_run: TrackedRun, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The page that a run wrote; messages in the console and requests fail the test."""
    scheme, width = request.param
    # For axe-core, which is added to the page: its own policy allows no other script.
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme, bypass_csp=True)
    found, complaints = context.new_page(), list[str]()
    found.on("console", lambda message: complaints.append(message.text))
    found.on("pageerror", lambda error: complaints.append(str(error)))
    found.on("request", lambda request: request.url.startswith("file:") or complaints.append(request.url))
    found.goto((tracked_run.result.folder / "report.html").as_uri())
    yield found
    context.close()
    assert complaints == []


def test_parts_are_folded_and_open_by_the_contents(page: Any) -> None:
    assert page.locator("details[open]").count() < page.locator("details").count()
    page.click('.contents a[href="#errors"]')
    assert page.locator("#errors").is_visible()
    page.click("#all")
    assert page.locator("details[open]").count() == page.locator("details").count()
    page.click("#all")
    assert page.locator("details[open]").count() == 0


def test_nothing_is_cut_and_axe_finds_no_fault(page: Any) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page.click("#all")
    width = page.evaluate("document.documentElement.clientWidth")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate(CUT) == 0
    assert [fault["id"] for fault in Axe().run(page).response["violations"]] == []


def test_errors_are_filtered_by_label_slice_and_text(page: Any) -> None:
    page.click('.contents a[href="#errors"]')
    items = page.locator(".item:visible")
    everything = items.count()
    assert everything > 1
    page.select_option('[data-filter="wrong"]', "aid")
    assert 0 < items.count() < everything
    assert items.count() == page.locator('.item[data-wrong~="aid"]').count()
    page.select_option('[data-filter="wrong"]', "")
    page.select_option('[aria-label="length"]', label="length: 11 to 20 words")
    assert page.locator("#count").inner_text() == f"{items.count()} shown"
    page.fill('[data-filter="text"]', "nothing like this")
    assert items.count() == 0


def test_the_print_has_the_folded_parts(page: Any, tmp_path: Path) -> None:
    import pypdfium2

    page.pdf(path=tmp_path / "report.pdf", format="A4")
    with pypdfium2.PdfDocument(tmp_path / "report.pdf") as printed:
        text = "\n".join(sheet.get_textpage().get_text_range() for sheet in printed)
    assert "Rows: gold; columns: assigned" in text
    assert "Open all" not in text
