"""Chromium without a window, driven by its DevTools protocol: opens a page and reports what is wrong with it."""

import asyncio
import itertools
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from yarl import URL

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = (
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
    "--window-size=1280,900",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
"""The last one: no other host can be reached."""
SECONDS = 20
"""Limit of each wait: the start, a page, its diagrams."""

SETTLED = 3
"""How many checks in a row must find a page settled: a script can send a request after another has ended."""
WITH_WORKERS = {"autoAttach": True, "waitForDebuggerOnStart": True, "flatten": True}
"""The theme searches in a worker, whose requests count too."""
OPEN_SHADOWS = """
const attach = Element.prototype.attachShadow;
Element.prototype.attachShadow = function (options) { return attach.call(this, {...options, mode: "open"}); };
"""
"""The theme draws a diagram into a closed shadow root, which nothing else can read."""
STATE = """(() => {
  const drawing = (element) => element.shadowRoot && element.shadowRoot.querySelector("svg");
  const drawn = [...document.querySelectorAll(".mermaid")].map(drawing)
    .filter((svg) => svg && svg.getBoundingClientRect().width > 0);
  return {
    drawn: drawn.length,
    images: [...document.images].filter((image) => image.complete && !image.naturalWidth).map((image) => image.src),
    loading: [...document.images].some((image) => !image.complete),
    scheme: document.body.dataset.mdColorScheme || "",
    excess: document.documentElement.scrollWidth - innerWidth,
  };
})()"""
UNKNOWN: dict[str, Any] = {"drawn": 0, "images": [], "loading": True, "scheme": "", "excess": 0}


@dataclass(slots=True)
class Page:
    """A page that was opened: what the browser reported, and what the page showed in the end."""

    url: str
    requests: dict[str, str] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    failed: list[str] = field(default_factory=list)
    console: list[str] = field(default_factory=list)
    loaded: bool = False
    state: dict[str, Any] = field(default_factory=lambda: dict(UNKNOWN))

    def note(self, method: str, parameters: dict[str, Any]) -> None:
        """Take in an event of the protocol."""
        if method.startswith("Network."):
            self._note_request(method, parameters)
        elif method == "Page.loadEventFired":
            self.loaded = True
        else:
            self._note_error(method, parameters)

    def _note_request(self, method: str, parameters: dict[str, Any]) -> None:
        match method, parameters:
            case "Network.requestWillBeSent", {"requestId": key, "request": {"url": url}}:
                self.requests[key] = url
            case "Network.loadingFinished", {"requestId": key}:
                self.ended.add(key)
            case "Network.loadingFailed", {"requestId": key, "errorText": text}:
                self.ended.add(key)
                self.failed.append(f"{self.requests.get(key, 'a request')} failed: {text}")
            case "Network.responseReceived", {"response": {"url": url, "status": status}} if status >= 400:
                self.failed.append(f"{url} answered {status}")

    def _note_error(self, method: str, parameters: dict[str, Any]) -> None:
        match method, parameters:
            case "Runtime.exceptionThrown", {"exceptionDetails": details}:
                self.console.append(details.get("exception", {}).get("description", details["text"]))
            case "Runtime.consoleAPICalled", {"type": "error" | "assert", "args": values}:
                self.console.append(" ".join(str(value.get("value", value.get("description"))) for value in values))
            case "Log.entryAdded", {"entry": {"level": "error", "source": source, "text": text}} if source != "network":
                self.console.append(text)

    def settled(self, diagrams: int) -> bool:
        """Whether nothing is under way any more, and as many diagrams are drawn as the page has."""
        quiet = self.loaded and self.requests.keys() <= self.ended and not self.state["loading"]
        return quiet and bool(self.state["drawn"] >= diagrams)

    def findings(self, diagrams: int) -> list[str]:
        """Return everything that is wrong, each as a sentence."""
        host = URL(self.url).authority
        urls = (URL(url) for url in self.requests.values())
        state = self.state
        return [
            *(f"a request to another host: {url}" for url in urls if url.scheme != "data" and url.authority != host),
            *(f"a failed request: {text}" for text in self.failed),
            *(f"a request without an answer: {url}" for key, url in self.requests.items() if key not in self.ended),
            *(f"an error in the console: {text}" for text in self.console),
            *(f"a broken image: {source}" for source in state["images"]),
            *(
                [f"{diagrams - state['drawn']} of {diagrams} diagrams are not drawn"]
                if state["drawn"] < diagrams
                else []
            ),
            *([f"{state['excess']} pixels wider than the window"] if state["excess"] > 0 else []),
        ]


class Chromium:
    """A running browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._pages: dict[str, Page] = {}

    @classmethod
    @asynccontextmanager
    async def started(cls, profile: Path) -> AsyncIterator["Chromium"]:
        """Start a browser with a profile of its own; it ends with the block."""
        assert PROGRAM
        root = ["--no-sandbox"] if os.geteuid() == 0 else []
        arguments = [*ARGUMENTS, *root, f"--user-data-dir={profile}", "about:blank"]
        quiet = asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(PROGRAM, *arguments, stdout=quiet, stderr=quiet)
        try:
            async with asyncio.timeout(SECONDS):
                address = await _address(profile / "DevToolsActivePort")
            async with aiohttp.ClientSession() as session, session.ws_connect(address, max_msg_size=0) as socket:
                browser = cls(socket)
                reader = asyncio.create_task(browser._read())
                yield browser
                await browser.call("Browser.close")
                reader.cancel()
            async with asyncio.timeout(SECONDS):
                await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def call(self, method: str, session: str = "", **parameters: object) -> dict[str, Any]:
        """Send a command and return its result."""
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        await self._send(number, method, session, parameters)
        async with asyncio.timeout(SECONDS):
            result: dict[str, Any] = await answer
        return result

    async def opened(self, url: str, *, diagrams: int = 0, dark: bool = False, seconds: float = SECONDS) -> Page:
        """Open a page, wait until it is settled, at most for these seconds, and return it."""
        target = (await self.call("Target.createTarget", url="about:blank"))["targetId"]
        session = (await self.call("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        page = self._pages[session] = Page(url)
        for domain in ("Page", "Network", "Runtime", "Log"):
            await self.call(f"{domain}.enable", session)
        await self.call("Target.setAutoAttach", session, **WITH_WORKERS)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", session, features=[scheme])
        await self.call("Page.addScriptToEvaluateOnNewDocument", session, source=OPEN_SHADOWS)
        await self.call("Page.navigate", session, url=url)
        clock = asyncio.get_running_loop().time
        ends, settled = clock() + seconds, 0
        while settled < SETTLED and clock() < ends:
            await asyncio.sleep(0.02)
            result = await self.call("Runtime.evaluate", session, expression=STATE, returnByValue=True)
            page.state = result["result"].get("value", UNKNOWN)
            settled = settled + 1 if page.settled(diagrams) else 0
        await self.call("Target.closeTarget", targetId=target)
        return page

    async def _send(self, number: int, method: str, session: str, parameters: dict[str, Any]) -> None:
        message = {"id": number, "method": method, "params": parameters}
        await self._socket.send_json(message | ({"sessionId": session} if session else {}))

    async def _read(self) -> None:
        async for message in self._socket:
            content = json.loads(message.data)
            if "method" in content:
                await self._note(content)
            elif (answer := self._answers.pop(content["id"], None)) is None:
                continue  # of a command to a worker, for which nothing waits
            elif "error" in content:
                answer.set_exception(RuntimeError(f"{content['error']}"))
            else:
                answer.set_result(content["result"])

    async def _note(self, event: dict[str, Any]) -> None:
        page = self._pages.get(event.get("sessionId", ""))
        if page is None:
            return
        page.note(event["method"], event["params"])
        if event["method"] == "Target.attachedToTarget":  # a worker, which waits until its requests are seen
            worker = event["params"]["sessionId"]
            self._pages[worker] = page
            for method in ("Network.enable", "Runtime.enable", "Runtime.runIfWaitingForDebugger"):
                await self._send(next(self._numbers), method, worker, {})


async def _address(file: Path) -> str:
    while not (lines := _lines(file)):  # noqa: ASYNC110 - of another process
        await asyncio.sleep(0.02)
    return f"ws://127.0.0.1:{lines[0]}{lines[1]}"


def _lines(file: Path) -> list[str]:
    lines = file.read_text().split() if file.exists() else []
    return lines if len(lines) == 2 else []
