"""The documentation site in a real browser without a network: every page, as `make docs` builds it."""

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from sandbox.programs.cache import SandboxError
from tests.support.chromium import PROGRAM, Chromium
from tests.support.pages import PAGES, ROOT
from tools import mermaid

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="the site is opened in Chromium: apt-get install chromium")

PLACE = "/dora-operator/"
"""The path of site_url, below which the page for a missing page expects its files."""
DIAGRAM = '<pre class="mermaid">'
LIGHT, DARK = "default", "slate"
"""The theme's names of its colour schemes."""
BROKEN = {
    "a diagram that stays text": (
        "<pre class='mermaid'>flowchart TD</pre>",
        "1 of 1 diagrams are not drawn",
    ),
    "a request to another host": (
        "<link rel='stylesheet' href='https://example.org/fonts.css'>",
        "a request to another host: https://example.org/fonts.css",
    ),
    "a request of a worker to another host": (
        "<script>new Worker(URL.createObjectURL(new Blob(['fetch(\"https://example.org/\")'])))</script>",
        "a request to another host: https://example.org/",
    ),
    "a file that is missing": (
        "<script src='missing.js'></script>",
        "a failed request: http://HOST/missing.js answered 404",
    ),
    "an image that is no image": ("<img src='index.html'>", "a broken image: http://HOST/index.html"),
    "an error in the console": ("<script>console.error('no data')</script>", "an error in the console: no data"),
    "an exception": ("<script>undefined_name()</script>", "undefined_name is not defined"),
    "a rejected promise": ("<script>Promise.reject(new Error('no answer'))</script>", "Error: no answer"),
    "a table that is too wide": ("<table width='2000'><tr><td>wide</table>", "pixels wider than the window"),
}


@asynccontextmanager
async def served(folder: Path, place: str = "/") -> AsyncIterator[str]:
    """Serve a folder on this machine; yields its address."""
    application = web.Application()
    application.router.add_static(place, folder)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}{place}"
    finally:
        await runner.cleanup()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the built site."""
    try:
        mermaid.ensure()
    except SandboxError as error:
        pytest.skip(f"diagrams cannot be drawn without a network: {error}")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=120)
    return folder


@pytest.fixture
def pages(site: Path) -> dict[str, str]:
    """Return the HTML of every page by its path."""
    return {str(path.relative_to(site)): path.read_text(encoding="utf-8") for path in sorted(site.rglob("*.html"))}


async def findings(browser: Chromium, address: str, html: str, scheme: str) -> list[str]:
    """Return what is wrong with a page in a colour scheme that the system prefers."""
    diagrams = html.count(DIAGRAM)
    page = await browser.opened(address, diagrams=diagrams, dark=scheme == DARK)
    found = page.findings(diagrams)
    return found if page.state["scheme"] == scheme else [*found, f"its colour scheme is {page.state['scheme']}"]


@pytest.mark.timeout(240)
async def test_every_page_is_whole_without_a_network(site: Path, pages: dict[str, str], tmp_path: Path) -> None:
    """No page asks another host, logs an error or misses a file, and each diagram is drawn."""
    assert len(pages) == len([page for page in PAGES if page.is_relative_to(ROOT / "docs")]) + 1  # 404.html
    async with served(site, PLACE) as address, Chromium.started(tmp_path) as browser:
        found = {path: await findings(browser, f"{address}{path}", html, LIGHT) for path, html in pages.items()}
    assert {path: each for path, each in found.items() if each} == {}


async def test_pages_with_diagrams_are_whole_in_dark_colours(site: Path, pages: dict[str, str], tmp_path: Path) -> None:
    """The site follows the system's colour scheme."""
    drawn = {path: html for path, html in pages.items() if DIAGRAM in html}
    assert drawn
    async with served(site, PLACE) as address, Chromium.started(tmp_path) as browser:
        found = {path: await findings(browser, f"{address}{path}", html, DARK) for path, html in drawn.items()}
    assert {path: each for path, each in found.items() if each} == {}


@pytest.mark.parametrize(("content", "finding"), BROKEN.values(), ids=BROKEN)
async def test_a_broken_page_is_found(tmp_path: Path, content: str, finding: str) -> None:
    """The checks of the test above, each with a page that it refuses."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "index.html").write_text(
        f"<!doctype html><link rel='icon' href='data:,'><body>{content}", encoding="utf-8"
    )
    diagrams = content.count("class='mermaid'")
    async with served(folder) as address, Chromium.started(tmp_path / "profile") as browser:
        page = await browser.opened(f"{address}index.html", diagrams=diagrams, seconds=2)
        assert finding.replace("HOST", address.split("/")[2]) in " ".join(page.findings(diagrams))


async def test_a_page_without_a_fault_has_no_finding(tmp_path: Path) -> None:
    """The same kind of page, with an image that is one."""
    (tmp_path / "icon.svg").write_bytes((ROOT / "docs/images/icon.svg").read_bytes())
    (tmp_path / "index.html").write_text(
        "<!doctype html><link rel='icon' href='data:,'><img src='icon.svg'>", encoding="utf-8"
    )
    async with served(tmp_path) as address, Chromium.started(tmp_path / "profile") as browser:
        assert (await browser.opened(f"{address}index.html")).findings(0) == []
