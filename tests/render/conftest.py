"""Without a browser, its driver and axe-core the page is not tested in one; `.ci/run` says so."""

from __future__ import annotations

import shutil
from importlib.util import find_spec

from tests.render.browser import AXE

_FOUND = shutil.which("chromium") and shutil.which("chromedriver") and find_spec("selenium") and AXE.is_file()
collect_ignore = [] if _FOUND else ["test_page_in_a_browser.py"]
