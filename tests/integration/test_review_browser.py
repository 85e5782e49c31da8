"""The annotation page in headless Chromium: by keyboard alone, and by mouse where a reviewer would use one; the record on the topic is exactly right."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from schemas.findings import Assertion
from schemas.labels import ADJUDICATED, ReviewedLabel, ReviewedSpan
from tests.support.review import Served, make_sample, span
from tests.support.streams_site import Site

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
expect.set_options(timeout=20_000)  # a loaded machine is no defect of the page

#: Signs of two UTF-16 code units before and inside of what is marked; white space of all kinds.
TEXT = "Note \U0001f691\r\n\tDenies chest pain.\nTakes \U0001f48a aspirin \u2028 daily.\n\nMother had breast cancer."
CANARY = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script> fever & \"quotes\" {{7*7}}"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip("no Chromium (apt install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield browser
        browser.close()


class Reviewer:
    """One signed-in person at a browser of their own; ``faults``: whatever the page's script or its policy complained of."""

    def __init__(self, browser: Browser, served: Served, name: str, *, width: int = 1280) -> None:
        self.context: BrowserContext = browser.new_context(viewport={"width": width, "height": 800})
        self.page: Page = self.context.new_page()
        self.faults: list[str] = []
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("console", lambda m: self.faults.append(m.text) if m.type == "error" and "401" not in m.text else None)
        self.page.goto(served.address)
        self.page.get_by_label("Your token").fill(served.tokens[name])
        self.press("Enter")
        expect(self.page.locator("#progress")).to_contain_text(name)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def sees(self, text: str) -> None:
        expect(self.page.locator("#review")).to_be_visible()
        expect(self.page.locator("#note")).to_contain_text(text)

    def submit(self) -> None:
        """Enter, and until the page has gone on."""
        with self.page.expect_response("**/api/next") as answer:
            self.press("Enter")
        assert answer.value.status == 200


def of(served: Served, name: str, at_least: int = 1) -> ReviewedLabel:
    """The last label of this reviewer."""
    return [label for label in served.labels(at_least) if label.reviewer == served.pseudonym(name)][-1]


def test_corrected_by_keyboard_alone(chromium: Browser, embedded_site: Site, tmp_path: Path) -> None:
    """Negated, retyped, deleted, made from selected words, moved at both ends, a flag judged, undone: the label says it in code points."""
    sample = make_sample(
        "11111111-0000-4000-8000-000000000001", TEXT, ("chest pain", "problem"), ("aspirin", "finding"), ("daily", "value"),
        ("breast", "anatomy"), flags=("f1",), summaries={"f1": "drug.dose: much"},
    )  # fmt: skip
    served = Served(embedded_site, tmp_path)
    served.propose(sample)
    with served:
        ada = Reviewer(chromium, served, "ada")
        ada.sees("Denies")
        ada.press("j", "s", "n")  # chest pain: a finding, negated
        ada.press("j", "m", "x", "u")  # aspirin: a medication, and not deleted after all
        ada.press("j", "q")  # daily: a frequency
        ada.press("j", "Shift+ArrowRight", "d", "f")  # breast -> breast cancer, a problem, the mother's
        ada.press("ArrowLeft", "ArrowLeft", "ArrowLeft", "Shift+ArrowRight", "Alt+Shift+ArrowLeft", "a", "x")  # made and deleted
        ada.press("j", "k", "1", "1")  # the flag: right, then wrong
        expect(ada.page.locator("#spans li")).to_have_count(4)
        ada.submit()
        expect(ada.page.locator("#nothing-title")).to_have_text("Nothing left to review")
        label = of(served, "ada")
        ada.press("b")  # the one just sent, to correct it: "chest pain" becomes "Denies chest pain" and back to "pain"
        ada.page.locator("#recent-list button").first.click()
        ada.sees("Denies")
        ada.press("j", ",", "s")
        ada.press(".", ".", "s")
        ada.submit()
        corrected = of(served, "ada", 2)
        assert ada.faults == []
    assert label.spans == (
        span(TEXT, "chest pain", "finding", negated=True),
        span(TEXT, "aspirin", "medication"),
        ReviewedSpan(start=TEXT.index("daily"), end=TEXT.index("daily") + 5, type="frequency"),
        span(TEXT, "breast cancer", "problem", family=True),
    )
    assert label.flags == {"f1": "wrong"}
    assert corrected.id == label.id
    assert corrected.spans[0] == ReviewedSpan(
        start=TEXT.index("pain"), end=TEXT.index("pain") + 4, type="finding", assertion=Assertion(negated=True)
    )


def test_selected_by_mouse(chromium: Browser, embedded_site: Site, tmp_path: Path) -> None:
    """A double click behind signs of two code units, then a button: the word, without the space that comes along; a click on a span chooses it."""
    served = Served(embedded_site, tmp_path)
    served.propose(make_sample("11111111-0000-4000-8000-000000000001", TEXT, ("chest pain", "finding")))
    with served:
        ada = Reviewer(chromium, served, "ada", width=390)  # a small screen: the same, one below the other
        ada.sees("aspirin")
        box = ada.page.locator("#note").evaluate(
            """(note) => { const walk = document.createTreeWalker(note, NodeFilter.SHOW_TEXT);
            for (let text = walk.nextNode(); text; text = walk.nextNode()) { const at = text.data.indexOf("aspirin");
            if (at >= 0) { const range = document.createRange(); range.setStart(text, at); range.setEnd(text, at + 7);
            const box = range.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; } } }"""
        )
        ada.page.mouse.dblclick(*box)
        ada.page.get_by_role("button", name="medication").click()
        ada.page.locator("mark", has_text="chest pain").click()
        ada.page.get_by_role("button", name="negated").click()
        overflow = ada.page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
        ada.page.locator("#submit").click()
        expect(ada.page.locator("#nothing")).to_be_visible()
        assert (ada.faults, overflow) == ([], 0)
        assert of(served, "ada").spans == (
            span(TEXT, "chest pain", "finding", negated=True),
            span(TEXT, "aspirin", "medication"),
        )


def test_a_note_cannot_become_markup(chromium: Browser, embedded_site: Site, tmp_path: Path) -> None:
    """Neither a note nor a flag's words nor why it was proposed are read as HTML or script; the policy is in force."""
    served = Served(embedded_site, tmp_path)
    served.propose(
        make_sample("11111111-0000-4000-8000-000000000001", CANARY, ("fever", "finding"), flags=("f",), summaries={"f": CANARY}, why=(CANARY,))
    )  # fmt: skip
    with served:
        ada = Reviewer(chromium, served, "ada")
        ada.sees("onerror")
        assert ada.page.locator("#note").evaluate("(note) => note.textContent") == CANARY
        assert ada.page.locator("img, #note script, #flags script, #why script").count() == 0
        assert ada.page.title() == "Review - Wardstream"
        ada.press("b", "Escape", "j", "x")
        ada.submit()
        ada.press("b")
        expect(ada.page.locator("#recent-list")).to_contain_text("<img src=x")
        assert ada.page.title() == "Review - Wardstream"
        assert ada.faults == []
        blocked = ada.page.locator("#note").evaluate(
            "(note) => { try { note.innerHTML = '<b>x</b>'; return ''; } catch (error) { return error.name; } }"
        )
        assert blocked == "TypeError"
        assert of(served, "ada").spans == ()


def test_two_reviewers_a_cap_and_a_lead(chromium: Browser, embedded_site: Site, tmp_path: Path) -> None:
    """Both see the model's spans; the cap ends a day; the lead settles what differs by Space and x, and the numbers are there."""
    served = Served(embedded_site, tmp_path, double_share=1.0, cap_per_day=1)
    served.propose(
        make_sample(
            "11111111-0000-4000-8000-000000000001", TEXT, ("chest pain", "finding"), ("aspirin", "medication"), score=0.9
        ),
        make_sample("11111111-0000-4000-8000-000000000002", "No fever.", ("fever", "finding"), score=0.1),
    )
    with served:
        ada, ben = Reviewer(chromium, served, "ada"), Reviewer(chromium, served, "ben")
        for one in (ada, ben):
            one.sees("Denies")
            expect(one.page.locator("#spans li")).to_have_text(["chest pain finding", "aspirin medication"])
        ada.press("j", "n")
        ben.press("j", "j", "x")
        for one in (ada, ben):
            one.submit()
            expect(one.page.locator("#nothing-title")).to_have_text("That is enough for today")
            expect(one.page.locator("#progress")).to_contain_text("1 of 1 today")
        lead = Reviewer(chromium, served, "lead")
        expect(lead.page.locator("#to-agreement")).to_contain_text("1 to settle")
        lead.page.locator("#to-agreement").click()
        expect(lead.page.locator("#pairs tbody tr").first).to_contain_text("all")
        lead.page.locator("#disputed button").click()
        lead.sees("Denies")
        expect(lead.page.locator("mark.contested")).to_have_count(2)
        lead.press("Enter")
        expect(lead.page.locator("#banner")).to_contain_text("not settled")
        negated = lead.page.locator("#spans li", has_text="negated")
        negated.locator("button").click()
        lead.press("Space", "Space")  # this one, and aspirin, to which it goes by itself
        lead.submit()
        (settled,) = [label for label in served.labels(3) if label.reviewer.startswith(ADJUDICATED)]
        assert settled.spans == (span(TEXT, "chest pain", "finding", negated=True), span(TEXT, "aspirin", "medication"))
        assert (ada.faults, ben.faults, lead.faults) == ([], [], [])


def test_the_page_can_be_used_without_a_mouse_or_sight(chromium: Browser, embedded_site: Site, tmp_path: Path) -> None:
    """Every control has a name and is reached by Tab; what a key did is said; a dialog keeps keys from the note; an expired session loses nothing."""
    served = Served(embedded_site, tmp_path)
    served.propose(make_sample("11111111-0000-4000-8000-000000000001", TEXT, ("chest pain", "finding")))
    with served:
        ada = Reviewer(chromium, served, "ada")
        ada.sees("Denies")
        ada.press("j", "n")
        expect(ada.page.locator("#live")).to_have_text("chest pain: finding, negated. 1 of 1.")
        expect(ada.page.get_by_role("button", name="negated", pressed=True)).to_be_visible()
        ada.press("?", "x", "Escape")
        expect(ada.page.locator("#spans li")).to_have_count(1)
        names = ada.page.locator("button:visible").evaluate_all("(all) => all.map((one) => one.textContent.trim())")
        assert all(names)
        ada.press("Tab")
        assert ada.page.evaluate("() => document.activeElement.tagName") in ("SUMMARY", "BUTTON")
        ada.page.locator("#note").focus()
        ada.context.clear_cookies()
        ada.press("Enter")
        expect(ada.page.locator("#login")).to_be_visible()
        ada.page.get_by_label("Your token").fill(served.tokens["ada"])
        ada.press("Enter")
        ada.sees("Denies")
        expect(ada.page.locator("#spans li")).to_have_text(["chest pain finding, negated"])
        ada.submit()
        assert of(served, "ada").spans == (span(TEXT, "chest pain", "finding", negated=True),)
