"""The page in a real browser: it fits a phone and a desk, obeys its own policy, and does what it offers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.appliance.cluster.runs import wave
from tests.appliance.daemon.serving import Crate
from tests.appliance.web import worlds
from tests.appliance.web.test_pages import PAGES
from tests.appliance.web.worlds import PASSWORD
from tests.support.browser import DESKTOP, PHONE, Browser, Screen

# The contrast of every text with what is behind it (WCAG 2.2, 1.4.3); large text may do with less.
CONTRAST = """
(() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = (colour) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data]; };
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (e) => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor);
    if (c[3] === 255) return c; } return [255, 255, 255]; };
  const poor = [];
  for (const element of document.querySelectorAll("body *")) {
    const text = [...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    const style = getComputedStyle(element);
    if (!text || !element.offsetWidth || element.closest(".unseen, .skip, thead")) continue;
    const [one, other] = [light(rgb(style.color)), light(behind(element))].sort((a, b) => b - a);
    const needed = parseFloat(style.fontSize) >= 24 ? 3 : 4.5;
    if ((one + 0.05) / (other + 0.05) < needed) poor.push(element.textContent.trim().slice(0, 30));
  }
  return poor;
})()
"""


# What fingers are to hit (2.5.8).
SMALL = """
[...document.querySelectorAll("button:not([hidden]), input:not([type=hidden]), select")]
  .filter((element) => element.offsetHeight < 24).map((element) => element.outerHTML)
"""


@pytest.fixture
def page(tab: Browser) -> Browser:
    """The tab, as a person finds it who comes for the first time."""
    tab.call("Network.clearBrowserCookies")
    tab.open("about:blank")
    tab.use(DESKTOP)
    tab.said.clear()
    return tab


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("screen", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_every_page_fits_its_screen_and_can_be_read(
    crate: Crate, page: Browser, tmp_path: Path, screen: Screen, *, dark: bool
) -> None:
    page.use(screen, dark=dark)
    for path in PAGES:
        page.open(f"{crate.url}{path}")
        assert page.evaluate("document.documentElement.scrollWidth") <= screen.width, path
        assert page.evaluate(CONTRAST) == [], path
        assert page.evaluate(SMALL) == [], path
    page.screenshot(tmp_path / "page.png")
    assert (tmp_path / "page.png").read_bytes().startswith(b"\x89PNG")
    assert page.said == []


def test_search_as_one_types(crate: Crate, page: Browser) -> None:
    page.open(f"{crate.url}/contents")
    page.evaluate("document.getElementById('q').focus()")
    page.type("k9s 2")
    page.until("document.querySelectorAll('#results tbody').length === 1")
    assert "k9s/2.0/k9s-arm64" in page.evaluate("document.getElementById('results').innerText")
    assert page.evaluate("document.activeElement.id") == "q"
    assert page.evaluate("location.search") == "?q=k9s+2"
    assert page.evaluate("document.querySelector('.copy').hidden") is False
    page.evaluate("document.querySelector('.copy').click()")
    page.until("document.querySelector('.copy.copied') !== null")
    assert page.said == []


def test_everything_can_be_read_without_scripts(crate: Crate, page: Browser) -> None:
    page.use(DESKTOP, scripts=False)
    page.open(f"{crate.url}/contents?q=nginx")
    tree = json.dumps(page.call("Accessibility.getFullAXTree"))
    assert "docker pull" in tree
    assert '"Copy' not in tree
    page.use(DESKTOP)


def test_the_keyboard_alone_will_do(crate: Crate, page: Browser) -> None:
    page.open(f"{crate.url}/")
    page.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.evaluate("document.activeElement.getBoundingClientRect().left >= 0") is True
    seen = []
    for _ in range(40):
        page.press("Tab")
        seen.append(page.evaluate("document.activeElement.id || document.activeElement.getAttribute('href')"))
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", seen[-1]
        if seen[-1] == "q":
            break
    assert seen[:3] == ["/", "/", "/contents"]
    page.type("k9s")
    before = page.loaded
    page.press("Enter")
    page.wait_for_load(before)
    assert page.evaluate("location.pathname + location.search") == "/contents?q=k9s"


def test_signing_on_and_doing_something(own_crate: Crate, page: Browser) -> None:
    page.open(f"{own_crate.url}/sign-on?next=/requests")
    page.evaluate(
        f"document.getElementById('name').value = 'olga'; document.getElementById('password').value = '{PASSWORD}'"
    )
    before = page.loaded
    page.evaluate("document.querySelector('form.sign').requestSubmit()")
    page.wait_for_load(before)
    assert page.evaluate("location.pathname") == "/requests"
    assert page.evaluate("document.cookie") == ""
    before = page.loaded
    page.evaluate("document.querySelector('form[action=\"/requests/forget\"]').requestSubmit()")
    page.wait_for_load(before)
    assert "Nothing is missing" in page.evaluate("document.body.innerText")
    assert page.said == []


def test_a_run_is_seen_as_it_goes_on(own_crate: Crate, page: Browser) -> None:
    with worlds.begin_run(own_crate.root) as journal:
        page.open(f"{own_crate.url}/installation")
        page.until("document.querySelectorAll('.waves .done').length === 1")
        worlds.more(journal, *wave("base", "n1", "n2", changed=2))
        page.until("document.querySelectorAll('.waves .done').length === 2", seconds=15)
        assert "4 changes" in page.evaluate("document.getElementById('run').innerText")
        journal.end("done")
        page.until("document.querySelector('.lead').innerText.includes('done')", seconds=15)
    assert page.said == []


def test_the_policy_holds_in_the_browser(crate: Crate, page: Browser) -> None:
    page.open(f"{crate.url}/")
    page.evaluate(
        "(() => { const script = document.createElement('script'); script.textContent = 'window.ran = 1';"
        " document.body.append(script); })()"
    )
    assert page.evaluate("window.ran") is None
    assert any("Content Security Policy" in line for line in page.said)
    page.said.clear()
