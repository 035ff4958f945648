"""Debian's headless Chromium, driven by selenium, with axe-core from npm."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

AXE = Path(sys.prefix) / "share" / "axe" / "node_modules" / "axe-core" / "axe.min.js"
_ARGUMENTS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars")


@contextlib.contextmanager
def browser() -> Iterator[Any]:
    """Start a browser whose console is kept, and end it."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    for argument in _ARGUMENTS:
        options.add_argument(argument)
    options.binary_location = shutil.which("chromium") or ""
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()


def look(driver: Any, *, width: int, height: int = 900, dark: bool = False, paper: bool = False) -> None:
    """Give the page a window of that size, and a person's preference of colours."""
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print" if paper else "", "features": [scheme]})


def violations(driver: Any) -> list[str]:
    """Return what axe-core finds against the page as it is now."""
    if not driver.execute_script("return 'axe' in window"):
        driver.execute_script(AXE.read_text(encoding="utf-8"))
    run = "axe.run().then(r => arguments[0](r.violations.map(v => `${v.id}: ${v.nodes[0].html.slice(0, 200)}`)))"
    found: list[str] = driver.execute_async_script(run)
    return found
