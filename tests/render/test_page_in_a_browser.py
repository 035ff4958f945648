"""The page as a person meets it: in Chromium, by keyboard, on a phone, in the dark and on paper."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sage_doctor.render import render
from sage_doctor.report import Report
from sage_doctor.report.comparison import Comparison, compare
from tests.render import sample_reports as reports
from tests.render.browser import browser, look, violations
from tests.render.test_faces import HOSTILE, hostile

WIDE, NARROW = 1100, 360


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    with browser() as started:
        yield started


def open_page(driver: Any, directory: Path, text: str) -> None:
    path = directory / "page.html"
    path.write_text(text, encoding="utf-8")
    driver.get(path.as_uri())


PAGES: dict[str, Callable[[], Report | Comparison]] = {
    **{name: reports.REPORTS[name] for name in ("healthy", "incident", "unknown")},
    "machines": lambda: compare([("a", reports.incident()), ("b", reports.unknown())], now=0, max_age_s=1),
    "hostile": lambda: hostile("".join(HOSTILE)),
}


@pytest.mark.parametrize("name", PAGES)
def test_axe_and_the_console_have_nothing_to_say(driver: Any, tmp_path: Path, name: str) -> None:
    open_page(driver, tmp_path, render(PAGES[name](), "html"))
    for width, dark in ((WIDE, False), (NARROW, True)) if name in ("incident", "machines") else ((NARROW, False),):
        look(driver, width=width, dark=dark)
        driver.execute_script("for (const part of document.querySelectorAll('details')) part.open = true")
        assert violations(driver) == []
        assert driver.execute_script("return document.documentElement.scrollWidth") <= width
    assert driver.get_log("browser") == []
    assert driver.execute_script("return performance.getEntriesByType('resource').length") == 0


def test_a_hostile_name_is_text(driver: Any, tmp_path: Path) -> None:
    name = "</script><script>document.title='owned'</script><img src=x onerror=alert(1)>"
    open_page(driver, tmp_path, render(hostile(name), "html"))
    assert name in driver.find_element("tag name", "body").text
    assert "owned" not in driver.title.removeprefix(name)
    assert driver.get_log("browser") == []


def test_commands_are_copied_by_keyboard_and_said(driver: Any, tmp_path: Path) -> None:
    open_page(driver, tmp_path, render(reports.incident(), "html"))
    driver.execute_cdp_cmd(
        "Browser.grantPermissions", {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
    )
    button = driver.find_element("css selector", ".cause .command button")
    assert button.accessible_name.startswith("Copy sage-doctor fix")
    button.send_keys("\ue007")  # Enter
    read = "navigator.clipboard.readText().then(arguments[0], e => arguments[0](String(e)))"
    assert driver.execute_async_script(read) == "sage-doctor fix introspective-qwen"
    assert driver.find_element("id", "said").get_attribute("textContent") == "Copied"
    driver.execute_script("navigator.clipboard.writeText = () => Promise.reject()")
    driver.find_elements("css selector", ".cause .command button")[1].click()
    assert driver.execute_async_script(read) == reports.MERGE_COMMAND


def test_everything_is_on_paper(driver: Any, tmp_path: Path) -> None:
    open_page(driver, tmp_path, render(reports.incident(), "html"))
    look(driver, width=800, dark=True, paper=True)
    driver.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert "weights-unverified" in driver.find_element("tag name", "main").text
    assert driver.execute_script("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not driver.find_element("css selector", ".command button").is_displayed()
