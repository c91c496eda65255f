"""The page in a real browser: driven by keyboard, with hostile articles, checked by axe-core."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labels.environment.keys import KeyFile
from labels.store import Store
from labels.text.rows import read_rows
from tests.end_to_end.server import Server, serving
from tests.labels.text.parsing.office_samples import word
from tests.trainer.conftest import TrackedRun
from tests.trainer.serving.test_files import GUNS

pytestmark = pytest.mark.slow

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
if "COMMUNIQUE_NO_BROWSER" in os.environ:
    pytest.skip("COMMUNIQUE_NO_BROWSER is set", allow_module_level=True)

SENTENCES = ["Norway pledged 40 trucks for homes in the valley.", "Rain fell 🕊.", "The envoy called for a truce."]
ARTICLE = f"{SENTENCES[0]}\r\n\r\n{SENTENCES[1]} {SENTENCES[2]}\n\nShare this article"
HOSTILE = (
    "<script>window.hacked = 1</script> Norway pledged aid.\n\n"
    '<img src=x onerror="window.hacked = 1"> The envoy called for a truce.\n\n"><svg onload=hacked=1>'
)
SIZES = [(390, 844), (1024, 768), (1920, 1080)]


@pytest.fixture(scope="module")
def server(tracked_run: TrackedRun, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("page"), str(tracked_run.result.artefact)) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Any, server: Server) -> Iterator[Any]:
    """A new page. Messages in the console, such as a violated policy, errors and requests elsewhere fail the test."""
    context = browser.new_context(viewport={"width": 1024, "height": 768}, accept_downloads=True)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    found, complaints = context.new_page(), list[str]()
    found.on("console", lambda message: complaints.append(message.text))
    found.on("pageerror", lambda error: complaints.append(str(error)))
    found.on("request", lambda request: request.url.startswith(server.url) or complaints.append(request.url))
    found.goto(f"{server.url}/")
    found.wait_for_selector("#definitions details", state="attached")
    yield found
    context.close()
    expected = ("blob:", "Failed to load resource: the server responded with a status of 422")
    assert [complaint for complaint in complaints if not complaint.startswith(expected)] == []


def label(page: Any, text: str) -> list[str]:
    """Label an article; returns its sentences."""
    page.fill("#text", text)
    page.click("#label")
    page.wait_for_selector("#article .sentence")
    return [
        element.evaluate("element => element.sentence.text")
        for element in page.query_selector_all("#article .sentence")
    ]


def test_article_is_shown_whole_with_its_labels(page: Any) -> None:
    sentences = label(page, ARTICLE)
    assert sentences == [
        "Norway pledged 40 trucks for homes in the valley.",
        "Rain fell 🕊.",
        "The envoy called for a truce.",
    ]
    first = page.locator("#article .sentence").first
    assert first.evaluate("element => getComputedStyle(element).backgroundColor") != "rgba(0, 0, 0, 0)"
    assert first.locator(".chip").all_inner_texts() == ["aid"]
    assert page.locator("#article .aside").inner_text() == "Share this article"
    assert page.inner_text("#summary") == "2 of 3 sentences labelled."
    assert "1 line was left out" in page.inner_text("#aside-summary")
    page.hover("#article .sentence")
    assert "(needs " in page.inner_text("#detail")


def test_chosen_sentence_stays_while_the_pointer_passes_others(page: Any) -> None:
    label(page, ARTICLE)
    page.locator("#article .sentence").first.click()
    page.locator("#article .sentence").last.hover()
    assert SENTENCES[0] in page.inner_text("#detail")
    label(page, "Another article.")
    assert SENTENCES[0] not in page.inner_text("#detail")


def test_changed_text_marks_the_result_as_old(page: Any) -> None:
    label(page, ARTICLE)
    page.fill("#text", "Another text.")
    assert page.is_visible("#stale")
    assert page.is_disabled("#csv")
    page.fill("#text", ARTICLE.replace("\r", ""))
    assert not page.is_visible("#stale")
    page.fill("#text", "")
    page.click("#label")
    assert page.is_visible("#problem")
    page.fill("#text", "Text.")
    assert not page.is_visible("#problem")


@pytest.mark.parametrize("text", [HOSTILE, HOSTILE.replace("\n\n", " ")])
def test_markup_in_an_article_is_only_text(page: Any, text: str) -> None:
    label(page, text)
    page.hover("#article .sentence")
    page.wait_for_timeout(100)
    assert page.evaluate("window.hacked") is None
    assert page.locator("main script, main img, main svg").count() == 0
    assert "<script>" in page.inner_text("#article")


def test_page_can_be_used_by_keyboard_alone(page: Any) -> None:
    page.focus("#title")
    page.keyboard.press("Tab")
    page.keyboard.type("Norway pledged 40 trucks. The envoy called for a truce.")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("#article .sentence")
    page.wait_for_selector("#result-heading:focus")
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.classList.contains('sentence')"):
            break
    page.keyboard.press("ArrowRight")
    assert "called for a truce" in page.inner_text("#detail")
    page.keyboard.press("Home")
    assert "40 trucks" in page.inner_text("#detail")
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.type") == "range":
            break
    page.keyboard.press("End")
    assert page.locator(".chip", has_text="aid").count() == 0


def test_thresholds_and_filters_change_the_marks(page: Any) -> None:
    label(page, ARTICLE)
    page.locator("input[type=range]").first.fill("0")
    assert page.locator(".chip", has_text="aid").count() == 3
    page.locator("#labels input[type=checkbox]").first.uncheck()
    assert page.locator(".chip", has_text="aid").count() == 0
    page.locator("#labels input[type=checkbox]").first.check()
    page.click("#reset")
    assert page.locator(".chip", has_text="aid").count() == 1
    page.check("#only-labelled")
    assert page.locator("#article .sentence:visible").count() == 2
    page.uncheck("#only-labelled")
    page.locator("#article .sentence").nth(1).click()
    page.check("#only-labelled")
    assert page.locator('#article .sentence[tabindex="0"]:visible').count() == 1


def test_downloads_and_copy_have_every_sentence_with_its_labels(page: Any) -> None:
    label(page, ARTICLE + '\n\n=1+1 is no aid.\n\nHe said "no, a truce", twice.')
    with page.expect_download() as download:
        page.click("#csv")
    path = Path(download.value.path())
    cells = [row["text"] for row in csv.DictReader(io.StringIO(path.read_text("utf-8-sig"), newline=""))]
    assert [cell for cell in cells if cell.startswith(("'", "="))] == ["'=1+1 is no aid."]
    rows = [row for _, row in read_rows(path.rename(path.with_suffix(".csv")))]
    with page.expect_download() as download:
        page.click("#jsonl")
    records = [json.loads(line) for line in Path(download.value.path()).read_text(encoding="utf-8").splitlines()]
    assert [row["text"] for row in rows] == [record["text"] for record in records]
    assert rows[-1]["text"] == 'He said "no, a truce", twice.'
    assert [row["labels"] for row in rows[:3]] == ["aid", "", "truce"]
    assert float(rows[0]["p:aid"]) == records[0]["probabilities"]["aid"]
    assert float(rows[0]["threshold:aid"]) == records[0]["thresholds"]["aid"]
    assert rows[0]["model_id"] == records[0]["model_id"]
    page.click("#copy")
    assert "\tNorway pledged 40 trucks" in page.evaluate("navigator.clipboard.readText()")


@pytest.mark.parametrize(
    ("name", "content", "shown"),
    [
        ("a.txt", "Norway pledged aid.", "Norway pledged aid."),
        (
            "a.html",
            "<html><body><article><p>Japan called for a truce, he said.</p></article></body></html>",
            "Japan called",
        ),
        ("a.odt", "PK", "only .txt, .html, .docx and .pdf files can be opened"),
        ("a.docx", word(GUNS), "The envoy called for a truce."),
        ("a.docx", word("<w:p/>"), "a.docx: the Word file has no text"),
        ("a.pdf", b"%PDF" + bytes(9 * 2**20), "a.pdf: the file is larger than 8 MB"),
        ("a.txt", b"\xff\xfe", "not UTF-8 text"),
    ],
)
def test_file_is_opened_or_refused(page: Any, name: str, content: str | bytes, shown: str) -> None:
    data = content if isinstance(content, bytes) else content.encode()
    page.set_input_files("#file", {"name": name, "mimeType": "text/plain", "buffer": data})
    page.wait_for_selector(f"#article :text('{shown}'), #problem:has-text('{shown}')")


def test_page_that_the_browser_printed_is_read_and_can_be_labelled_again(page: Any, browser: Any) -> None:
    printed = browser.new_page()
    printed.set_content(f"<title>Talks</title><h1>Talks</h1><p>{SENTENCES[0]} {SENTENCES[2]}</p>")
    page.set_input_files("#file", {"name": "b.PDF", "mimeType": "", "buffer": printed.pdf()})
    page.wait_for_selector(f"#article :text('{SENTENCES[2]}')")
    assert page.input_value("#text") == f"Talks\n\n{SENTENCES[0]} {SENTENCES[2]}\n"
    assert not page.is_visible("#stale")
    printed.close()


def test_pages_of_a_file_that_were_not_read_are_named_beside_the_result(page: Any, browser: Any) -> None:
    printed = browser.new_page()
    picture = "<svg width=9 height=9><rect width=9 height=9 /></svg>"
    printed.set_content(f"<p>{SENTENCES[0]}</p><p style='break-before: page'>{picture}</p>")
    page.set_input_files("#file", {"name": "a.pdf", "mimeType": "", "buffer": printed.pdf()})
    page.wait_for_selector(f"#article :text('{SENTENCES[0]}')")
    assert page.inner_text("#notes") == "a.pdf: page 2 was left out because it has no text layer."
    assert page.inner_text("#problem") == ""
    label(page, ARTICLE)
    assert not page.is_visible("#notes")
    printed.close()


def test_refusal_of_the_server_is_shown(page: Any) -> None:
    page.evaluate("document.getElementById('text').value = 'x'.repeat(200001)")
    page.click("#label")
    page.wait_for_selector("text=The text is longer than 200,000 characters.")


def test_error_is_visible_on_a_phone_although_a_sentence_was_chosen(page: Any) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    label(page, ARTICLE)
    page.locator("#article .sentence").first.click()
    assert page.is_visible("#detail")
    page.fill("#text", "")
    page.evaluate("document.getElementById('label').click()")
    page.wait_for_selector("#problem:has-text('Paste an article first')")
    assert not page.is_visible("#detail")


@pytest.fixture
def page_of(browser: Any, server: Server) -> Iterator[Any]:
    """Opens the page in a window of a given size and colour scheme."""
    contexts = []

    def open_page(size: tuple[int, int], scheme: str) -> Any:
        context = browser.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.goto(f"{server.url}/")
        page.wait_for_selector("#definitions details", state="attached")
        return page

    yield open_page
    for context in contexts:
        context.close()


def test_a_sentence_is_explained_by_keyboard(page: Any) -> None:
    label(page, ARTICLE)
    page.locator("#article .sentence").first.focus()
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "Why?":
            break
    page.keyboard.press("Enter")
    page.wait_for_selector(".why mark.for")
    assert page.locator(".why-text").inner_text() == SENTENCES[0]
    assert page.evaluate("document.activeElement.textContent") == "Why?"
    assert "aid (the sentence has this label)" in page.inner_text(".why")
    assert "Solid line: speaks for the label" in page.inner_text(".why")
    strongest = page.locator(".why-text mark.strong").first
    number = strongest.get_attribute("title")
    assert f"{strongest.inner_text()} {number}" in page.inner_text(".why")
    page.locator("#article .sentence").last.click()
    assert page.locator(".why mark").count() == 0
    page.locator("#article .sentence").first.click()
    assert page.locator(".why-text").inner_text() == SENTENCES[0]  # kept, not asked again


def test_an_explanation_is_visible_on_a_phone(page: Any) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    label(page, ARTICLE)
    page.locator("#article .sentence").first.click()
    page.click("text=Why?")
    page.wait_for_selector(".why mark.for")
    page.wait_for_function("document.querySelector('.why').getBoundingClientRect().bottom <= innerHeight")
    head, why = (page.locator(place).bounding_box() for place in ("#detail-head", ".why"))
    assert why["y"] >= head["y"] + head["height"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_page_has_no_fault_that_axe_finds_and_fits_its_window(page_of: Any, size: tuple[int, int], scheme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = page_of(size, scheme)
    label(page, ARTICLE + " Unbreakable" + "x" * 300)
    page.locator("#article .sentence").first.focus()
    page.click("text=Why?")
    page.wait_for_selector(".why mark.for")
    found = Axe().run(page).response["violations"]
    assert [(fault["id"], fault["nodes"][0]["html"]) for fault in found] == []
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


@pytest.fixture
def correcting(tracked_run: TrackedRun, tmp_path: Path) -> Iterator[tuple[Server, str]]:
    """A server that accepts corrections, and a key of annotator ana."""
    Store(tmp_path / "communique.db").close()
    token = KeyFile(tmp_path / "communique-keys.json").add("ana", ["predict", "correct"], annotator="ana")
    with serving(tmp_path, str(tracked_run.result.artefact), "--corrections") as running:
        yield running, token


def test_correction_on_the_page_arrives_in_the_store(
    browser: Any, correcting: tuple[Server, str], tmp_path: Path
) -> None:
    server, token = correcting
    context = browser.new_context(http_credentials={"username": "ana", "password": token})
    page = context.new_page()
    page.goto(f"{server.url}/")
    page.wait_for_selector("#definitions details", state="attached")
    label(page, ARTICLE)
    page.click("#article .sentence")
    page.click("text=Correct this sentence")
    page.check("fieldset input[value=truce]")
    page.locator("input[type=range]").first.fill("0.01")  # must not discard the tick
    page.click("text=Save correction")  # the browser asks for the consent that is missing
    with Store(tmp_path / "communique.db") as store:
        assert not store.events.all()
    page.check("[name=store]")
    page.click("text=Save correction")
    page.wait_for_selector("text=Saved as a decision of ana.")
    assert page.locator(".chip.corrected").inner_text() == "corrected: aid, truce"
    context.close()
    with Store(tmp_path / "communique.db") as store:
        [event] = store.events.all()
        [sentence] = store.documents.sentences([event.sentence_id])
    assert (event.annotator, event.strategy, event.labels, event.suggestion) == (
        "ana",
        "page",
        ("aid", "truce"),
        ("aid",),
    )
    assert sentence.text == SENTENCES[0]
