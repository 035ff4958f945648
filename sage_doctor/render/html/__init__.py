"""The report as one page for a browser, on a screen or on paper: nothing in it comes from anywhere else.

Its content security policy allows the style and the script that it carries, by their hashes, and nothing more. Jinja2
escapes every value; each is made printable before.
"""

from __future__ import annotations

from sage_doctor.render import Screen
from sage_doctor.render.html.report_page import report_page
from sage_doctor.render.html.template import fill, require_jinja
from sage_doctor.report import Report
from sage_doctor.report.comparison import Comparison

__all__ = ["compare", "prepare", "render"]


def prepare() -> None:
    """Raise `UsageError` where Jinja2 is not installed."""
    require_jinja()


def render(report: Report, _screen: Screen) -> str:
    """Return an HTML document. Raises `UsageError` where Jinja2 is not installed."""
    return fill("report.html.jinja", report_page(report))


def compare(comparison: Comparison, _screen: Screen) -> str:
    """Return several reports side by side as an HTML document. Raises `UsageError` where Jinja2 is not installed."""
    return fill("comparison.html.jinja", {"comparison": comparison})
