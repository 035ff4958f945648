"""Screenshots of the page, for people to look at: `make screenshots` writes them to `build/screenshots`.

The two that the README shows are written to `docs/`.
"""

from __future__ import annotations

import dataclasses
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from sage_doctor.render import render
from sage_doctor.report import Change, MachineInfo, Report
from sage_doctor.report.comparison import Comparison, compare
from tests.render import sample_reports as reports
from tests.render.browser import browser, look

ROOT = Path(__file__).resolve().parents[2]
LOOKS = {"wide": (1100, False), "wide-dark": (1100, True), "narrow": (360, False), "narrow-dark": (360, True)}
MOST_HEIGHT = 4000


def unhealthy() -> Report:
    """The incident, with what changed before it."""
    changes = (
        Change(
            subject="introspective-qwen", what="file model.safetensors", before="988.1 MB of 2026-01-02 09:12:44 UTC"
        ),
        Change(subject="machine", what="rebooted"),
        Change(subject="machine", what="transformers", before="4.57.1", after="5.23.0"),
    )
    found = reports.incident()
    base, weights, *rest = found.findings
    return dataclasses.replace(
        found, findings=(weights, base, *rest), changes=changes, changes_since="2026-01-15T14:31:00+00:00"
    )


def machines() -> Comparison:
    """The incident's machine beside one that can take its role."""
    needed = ("introspective-qwen", "introspective-qwen-v2.1", "qwen2.5-0.5b-old")
    checks = [c for name in ("qwen2.5-0.5b", *needed) for c in reports.well(name)]
    other = dataclasses.replace(
        reports.report([*reports.MACHINE_CHECKS, *checks]),
        machine=MachineInfo(name="sprout", hostname="sprout-orin", roles=("raising",)),
    )
    other = reports.with_roles(other, analysis=("qwen2.5-0.5b",), raising=needed)
    thor = reports.incident()
    empty = tuple(
        dataclasses.replace(m, nbytes=0, weights=None) if m.name == "introspective-qwen" else m for m in thor.models
    )
    now = 1_768_683_912  # three hours later
    return compare(
        [("thor.json", dataclasses.replace(thor, models=empty)), ("sprout.json", other)], now=now, max_age_s=86400
    )


PAGES: dict[str, Callable[[], Report | Comparison]] = {
    "healthy": reports.healthy,
    "unhealthy": unhealthy,
    "unknown": reports.unknown,
    "machines": machines,
}
SHOWN = {("unhealthy", "wide"): (900, 620), ("machines", "wide"): (900, 620)}  # in the README: width and height


def main() -> int:
    """Write all screenshots."""
    target = ROOT / "build" / "screenshots"
    target.mkdir(parents=True, exist_ok=True)
    with browser() as driver, tempfile.TemporaryDirectory() as scratch:
        for name, make in PAGES.items():
            page = Path(scratch) / "page.html"
            page.write_text(render(make(), "html"), encoding="utf-8")
            driver.get(page.as_uri())
            for look_name, (width, dark) in LOOKS.items():
                look(driver, width=width, dark=dark)
                height = driver.execute_script("return document.documentElement.scrollHeight")
                look(driver, width=width, height=min(height, MOST_HEIGHT), dark=dark)
                driver.save_screenshot(str(target / f"{name}-{look_name}.png"))
                size = SHOWN.get((name, look_name))
                if size is not None:
                    look(driver, width=size[0], height=size[1])
                    driver.save_screenshot(str(ROOT / "docs" / f"page-{name}.png"))
    print(f"{len(PAGES) * len(LOOKS)} screenshots in {target}, {len(SHOWN)} in docs/")
    return 0


if __name__ == "__main__":
    sys.exit(main())
