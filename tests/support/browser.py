"""A real browser without a screen: Debian's chromium, driven by the DevTools protocol.

https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.ports import wait_until
from tests.support.tools import tool


@dataclass(frozen=True)
class Screen:
    """Width and height in CSS pixels, and whether it is a phone's."""

    name: str
    width: int
    height: int
    phone: bool = False


PHONE = Screen("phone", 390, 844, phone=True)
DESKTOP = Screen("desktop", 1280, 800)


class Browser:
    """One tab. `said` is what pages wrote to the console, and what browsers complain of (CSP, scripts that fail)."""

    def __init__(self, runner: asyncio.Runner, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._runner = runner
        self._socket = socket
        self._numbers = itertools.count(1)
        self._loaded = 0
        self.said: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network", "Accessibility"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> Any:
        """One command of the protocol. Raises `RuntimeError` for one that fails."""
        return self._runner.run(self._call(method, parameters))

    async def _call(self, method: str, parameters: dict[str, Any]) -> Any:
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        while True:
            message = await self._socket.receive_json(timeout=30)
            if message.get("id") == number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message["result"]
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        told = message.get("params", {})
        match message.get("method"):
            case "Page.loadEventFired":
                self._loaded += 1
            case "Runtime.exceptionThrown":
                self.said.append(str(told["exceptionDetails"].get("exception", told["exceptionDetails"])))
            case "Runtime.consoleAPICalled":
                self.said.append(" ".join(str(each.get("value")) for each in told["args"]))
            case "Log.entryAdded":
                self.said.append(f"{told['entry']['text']} {told['entry'].get('url', '')}".strip())

    def use(self, screen: Screen, *, dark: bool = False, scripts: bool = True) -> None:
        """From now on the page is shown on this screen."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=screen.width,
            height=screen.height,
            deviceScaleFactor=2 if screen.phone else 1,
            mobile=screen.phone,
        )
        features = [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        self.call("Emulation.setEmulatedMedia", features=features)
        self.call("Emulation.setScriptExecutionDisabled", value=not scripts)

    def open(self, url: str) -> None:
        """Returns when everything of the page is loaded."""
        before = self._loaded
        answer = self.call("Page.navigate", url=url)
        assert "errorText" not in answer, answer
        self.wait_for_load(before)

    def wait_for_load(self, before: int) -> None:
        deadline = time.monotonic() + 20
        while self._loaded == before:
            assert time.monotonic() < deadline, "the page does not load"
            self.call("Runtime.getIsolateId")
            time.sleep(0.01)

    @property
    def loaded(self) -> int:
        """How many pages were loaded until now."""
        return self._loaded

    def evaluate(self, expression: str) -> Any:
        """The value of JavaScript in the page; promises are waited for."""
        done = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    def until(self, expression: str, seconds: float = 10) -> None:
        """Waits until JavaScript says something that is true."""
        wait_until(lambda: bool(self.evaluate(expression)), expression, seconds=seconds)

    def type(self, text: str) -> None:
        """As on a keyboard, where the focus is."""
        for sign in text:
            self.call("Input.dispatchKeyEvent", type="char", text=sign)

    def press(self, key: str) -> None:
        code = {"Tab": 9, "Enter": 13}[key]
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=key,
                windowsVirtualKeyCode=code,
                **(text if kind == "keyDown" else {}),
            )

    def screenshot(self, path: Path, *, whole: bool = True) -> None:
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """Keeps its profile in `folder`. Certificates are not checked: trust in the crate is what other tests are about."""
    log = folder / "chromium.log"
    words = [
        tool("chromium"),
        "--headless=new",
        "--no-sandbox",  # for root
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--ignore-certificate-errors",
        "--hide-scrollbars",
        "--remote-debugging-port=0",
        f"--user-data-dir={folder / 'profile'}",
        "about:blank",
    ]
    port_file = folder / "profile" / "DevToolsActivePort"
    with log.open("wb") as output:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env={**os.environ, "HOME": str(folder)}
        )
    try:
        wait_until(lambda: port_file.exists() and port_file.read_text().count("\n") >= 1, "chromium", seconds=30)
        port = int(port_file.read_text().splitlines()[0])
        with asyncio.Runner() as runner:
            session, socket = runner.run(_connect(port))
            try:
                yield Browser(runner, socket)
            finally:
                runner.run(_close(session, socket))
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def _connect(port: int) -> tuple[aiohttp.ClientSession, aiohttp.ClientWebSocketResponse]:
    session = aiohttp.ClientSession()
    async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
        tabs = json.loads(await answer.read())
    tab = next(tab for tab in tabs if tab["type"] == "page")
    return session, await session.ws_connect(tab["webSocketDebuggerUrl"], max_msg_size=0)


async def _close(session: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse) -> None:
    await socket.close()
    await session.close()
