"""A real browser for the tests: Debian's Chromium, and a watch over what its pages do."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Request, expect, sync_playwright

from infra.local.debian import library_path, unpacked

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PROGRAM = "usr/lib/chromium/chromium"
PACKAGES = {"chromium", "chromium-common"}
INSTALL = ["install", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300", "chromium"]
INSTALL_TIMEOUT_S = 900
QUIET = [
    *("--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]
DESK = {"width": 1280, "height": 800}
PATIENCE_MS = 30_000

expect.set_options(timeout=PATIENCE_MS)


@dataclass(frozen=True)
class Chromium:
    """An executable, and the environment it needs."""

    executable: Path
    environment: dict[str, str]


def chromium(folder: Path) -> Chromium:
    """The one on the PATH; else Debian's: installed where we are root, else unpacked into `folder`."""
    found = _on_path()
    if found is None and os.geteuid() == 0:
        # A new machine may have no lists of packages yet, or old ones.
        if not _apt_get(*INSTALL) and _apt_get("update"):
            _apt_get(*INSTALL)
        found = _on_path()
    if found is not None:
        return Chromium(found, {})
    package = unpacked(PROGRAM, PACKAGES, folder)
    if package is None:
        raise AssertionError("no Chromium on the PATH, and no Debian package to be had: install chromium")
    environment = {"LD_LIBRARY_PATH": library_path(package)}
    if (package / "etc/fonts").exists():
        environment["FONTCONFIG_SYSROOT"] = str(package)
    return Chromium(package / PROGRAM, environment)


def _on_path() -> Path | None:
    return next((Path(path) for name in NAMES if (path := shutil.which(name))), None)


def _apt_get(*arguments: str) -> bool:
    if not shutil.which("apt-get"):
        return False
    done = subprocess.run(
        ["apt-get", "-q", *arguments],
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        timeout=INSTALL_TIMEOUT_S,
        check=False,
    )
    return done.returncode == 0


@contextmanager
def opened(browser: Chromium) -> Iterator[Browser]:
    """The browser, for the block, in which playwright keeps an event loop in this thread."""
    # Of asyncio's own: what trio-asyncio makes by default, once imported, can not be entered twice.
    asyncio.set_event_loop_policy(asyncio.DefaultEventLoopPolicy())
    try:
        with sync_playwright() as playwright:
            running = playwright.chromium.launch(
                executable_path=browser.executable, args=QUIET, env={**os.environ, **browser.environment}
            )
            yield running
            running.close()
    finally:
        asyncio.set_event_loop_policy(None)


@contextmanager
def watched(browser: Browser, origin: str, **options: Any) -> Iterator[BrowserContext]:
    """A context for the block; its pages must complain of nothing, and ask nobody but `origin` for anything."""
    context = browser.new_context(base_url=origin, viewport=DESK, has_touch=True, **options)
    complaints: list[str] = []
    strangers: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        if message.type == "error":
            complaints.append(message.text)

    def see(request: Request) -> None:
        if not request.url.startswith(f"{origin}/"):
            strangers.append(request.url)

    context.on("console", hear)
    context.on("weberror", lambda error: complaints.append(str(error.error)))
    context.on("request", see)
    yield context
    context.close()
    assert not complaints, f"complaints on the console: {complaints}"
    assert not strangers, f"requests to others than {origin}: {strangers}"
