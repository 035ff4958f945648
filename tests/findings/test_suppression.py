"""What is selected and ignored: the more specific selector wins, and the command line counts more than the manifest."""

from __future__ import annotations

from pathlib import Path

import pytest

from sage_doctor.errors import ManifestError, UsageError
from sage_doctor.findings.suppression import Suppression, suppression_of
from sage_doctor.manifest.load import load_for_host

CODES = ("weights-missing", "weights-truncated", "weights-unverified", "adapter-base-missing", "path-missing")


@pytest.mark.parametrize(
    "given, reported",
    [
        ({}, CODES),
        ({"ignore": ("weights",)}, CODES[3:]),
        ({"ignore": ("weights-miss",)}, CODES),  # a code begins with words, not with letters
        ({"select": ("weights", "path-missing")}, (*CODES[:3], CODES[4])),
        ({"select": ("weights-missing",), "ignore": ("weights",)}, CODES[:1]),
        ({"select": ("weights",), "ignore": ("weights-missing",)}, CODES[1:3]),
        ({"select": ("weights-missing",), "ignore": ("weights-missing",)}, ()),
        ({"of_manifest": ("weights",), "of_models": {"m": ("path",), "other": ("adapter",)}}, CODES[3:4]),
        ({"select": ("weights-missing",), "of_manifest": ("weights-missing",)}, CODES[:1]),
    ],
)
def test_what_is_reported(given: dict[str, tuple[str, ...]], reported: tuple[str, ...]) -> None:
    suppression = Suppression(**given)  # type: ignore[arg-type]
    assert tuple(c for c in CODES if not suppression.hides(c, "m")) == reported


def test_what_is_no_code_is_answered_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--ignore: no finding code is .* wieghts-missing; did you mean weights-mis"):
        suppression_of((), ("weights", "wieghts-missing"), None)
    own = tmp_path / "checks" / "licence.py"
    own.parent.mkdir()
    own.write_text("yield finding('acme-licence-missing', '')")
    manifest = tmp_path / "sage-doctor.toml"
    text = 'schema = 1\n[checks]\npaths = ["checks"]\nignore = ["acme", "weights",\n  "path-mising"]\n'
    manifest.write_text(text + '[models."q2.5-a"]\nkind = "full"\npath = "m"\nignore = ["acmy-licence-missing"]\n')
    with pytest.raises(ManifestError) as caught:
        suppression_of((), (), load_for_host(manifest))
    first, second = str(caught.value).splitlines()
    assert ":5: [checks] ignore: no finding code is or begins with 'path-mising'; did you mean 'path-missing'" in first
    assert ":9: [models." in second
    assert "did you mean 'acme-licence-missing'" in second
    manifest.write_text(text.replace("path-mising", "path-missing"))
    assert suppression_of(("acme-licence",), (), load_for_host(manifest)).of_manifest == (
        "acme",
        "weights",
        "path-missing",
    )
