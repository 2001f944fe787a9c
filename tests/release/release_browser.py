"""A headless Chromium driven over the WebDriver protocol: no test library, Debian's ``chromium`` and ``chromium-driver``."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

QUIET = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-default-apps", "--hide-scrollbars"),
)


class Browser:
    """One window. Everything asked of it waits until the page has answered."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def call(self, method: str, path: str, **body: Any) -> Any:
        answer = self._client.request(method, path, json=body if method == "POST" else None)
        value = answer.json()["value"]
        assert answer.is_success, value
        return value

    def open(self, url: str) -> None:
        self.call("POST", "/url", url=url)

    def size(self, width: int, height: int, phone: bool = False) -> None:
        """The size of the page; as a phone's, with its pixel ratio."""
        shape = {"width": width, "height": height, "deviceScaleFactor": 2 if phone else 1, "mobile": phone}
        self.cdp("Emulation.setDeviceMetricsOverride", **shape)

    def scheme(self, name: str) -> None:
        """``light`` or ``dark``, as the system would ask for."""
        self.cdp("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def cdp(self, command: str, **params: Any) -> Any:
        return self.call("POST", "/goog/cdp/execute", cmd=command, params=params)

    def js(self, script: str, *arguments: Any) -> Any:
        """What the function body returns."""
        return self.call("POST", "/execute/sync", script=script, args=list(arguments))

    def keys(self, *names: str) -> None:
        """Keys to whatever has the focus, one after the other."""
        codes = {"ArrowLeft": "\ue012", "ArrowRight": "\ue014", "Escape": "\ue00c", "Tab": "\ue004", "Enter": "\ue007"}
        actions = []
        for name in names:
            value = codes.get(name, name)
            actions += [{"type": "keyDown", "value": value}, {"type": "keyUp", "value": value}]
        self.call("POST", "/actions", actions=[{"type": "key", "id": "keyboard", "actions": actions}])

    def click(self, selector: str) -> None:
        self.js(
            "const e = document.querySelector(arguments[0]); e.scrollIntoView({block: 'center'}); e.click();", selector
        )

    def pick(self, selector: str, value: str) -> None:
        """Chooses a value of a select, or types into an input, as a person would."""
        self.js(
            "const e = document.querySelector(arguments[0]); e.value = arguments[1];"
            "e.dispatchEvent(new Event(e.tagName === 'SELECT' ? 'change' : 'input', {bubbles: true}));",
            selector, value,
        )  # fmt: skip

    def log(self, kind: str) -> list[dict[str, Any]]:
        """``browser`` (console) or ``performance`` (network) entries since the last call."""
        found: list[dict[str, Any]] = self.call("POST", "/se/log", type=kind)
        return found

    def requests(self) -> list[str]:
        """The URLs asked for since the last call."""
        events = [json.loads(entry["message"])["message"] for entry in self.log("performance")]
        return [one["params"]["request"]["url"] for one in events if one["method"] == "Network.requestWillBeSent"]

    def picture(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(self.call("GET", "/screenshot")))


def installed() -> bool:
    """Whether there is a Chromium to drive."""
    return bool(shutil.which("chromium") and shutil.which("chromedriver"))


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """A Chromium with a fresh profile in ``profile``; it is gone afterwards, whatever happened."""
    driver = subprocess.Popen(
        ["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert driver.stdout is not None
        port = next(
            line.rsplit(" ", 1)[1].strip(". \n") for line in driver.stdout if "started successfully on port" in line
        )
        options = {
            "browserName": "chrome",
            "goog:chromeOptions": {
                "binary": shutil.which("chromium"), "args": [*QUIET, f"--user-data-dir={profile}"],
            },
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }  # fmt: skip
        base = f"http://127.0.0.1:{port}"
        made = httpx.post(f"{base}/session", json={"capabilities": {"alwaysMatch": options}}, timeout=60).json()[
            "value"
        ]
        assert "sessionId" in made, made
        session = f"{base}/session/{made['sessionId']}"
        try:
            with httpx.Client(base_url=session, timeout=60) as client:
                yield Browser(client)
        finally:  # a client of a base URL would put a slash behind it, which chromedriver does not know
            assert httpx.delete(session, timeout=60).status_code == 200
    finally:
        driver.terminate()
        driver.wait(10)
