"""The page: it allows what it carries and nothing else, and says what the report says."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import re
from importlib import util

import pytest

from sage_doctor.errors import UsageError
from sage_doctor.render import prepare, render
from sage_doctor.render.html import template
from sage_doctor.render.html.chart import chart_of
from sage_doctor.report import Measurement
from tests.render import sample_reports as reports


def test_the_policy_allows_the_style_and_script_of_the_page_and_nothing_else() -> None:
    page = render(reports.incident(), "html")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    directives = dict(part.split(" ", 1) for part in policy[1].replace("&#39;", "'").split("; "))
    for tag in ("style", "script"):
        held = re.search(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        assert held is not None
        digest = base64.b64encode(hashlib.sha256(held[1].encode()).digest()).decode()
        assert directives.pop(f"{tag}-src") == f"'sha256-{digest}'"
    assert directives == {"default-src": "'none'", "base-uri": "'none'", "form-action": "'none'"}
    assert re.findall(r"https?://", page) == []


def test_without_jinja_the_command_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template, "find_spec", lambda name: None if name == "jinja2" else util.find_spec(name))
    for ask in (lambda: prepare("html"), lambda: render(reports.healthy(), "html")):
        with pytest.raises(UsageError, match="-m pip install jinja2"):
            ask()


def test_what_is_left_out_is_counted() -> None:
    first = reports.incident().findings[1]
    found = [
        dataclasses.replace(first, subject=f"m{n}", fix=dataclasses.replace(first.fix, commands=(f"x {n}",)))
        for n in range(30)
    ]
    page = render(reports.report([c for f in found for c in reports.well(f.subject)], found), "html")
    assert "10 more subjects" in page
    assert "10 more commands" in page


@pytest.mark.parametrize(
    "value, budget, history, words, budget_drawn",
    [
        (1.0, 2.0, (), "50 % of its budget", True),
        (1.0, None, (), None, False),
        (1.0, 2.0, (1.0, 1.5), "2 earlier runs: 1 to 1.5 s", True),
        (1.0, 30.0, (1.0,), "the run before: 1 s", False),
        (float("nan"), 2.0, (1.0,), None, False),
        (0.0, None, (0.0, float("inf")), "the run before: 0 s", False),
    ],
)
def test_a_chart_has_its_numbers_in_words(
    value: float, budget: float | None, history: tuple[float, ...], words: str | None, budget_drawn: bool
) -> None:
    chart = chart_of(Measurement(subject="m", name="load_s", value=value, unit="s", budget=budget, history=history))
    assert (chart.words if chart else None) == words
    assert (chart is not None and chart.budget is not None) == budget_drawn
