"""Whose a file is: ours, ours and edited, or somebody else's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from sage_doctor.errors import DoctorError
from sage_doctor.install.ownership import look_at, read_owned, stamped

BODY = "[Unit]\nDescription=ünï\n"


@pytest.mark.parametrize("after", [0, 1])
def test_what_was_written_is_ours(after: int) -> None:
    found = read_owned(stamped(BODY, ["b", "a"], after=after))
    assert (found.state, found.body, found.roles) == ("ours", BODY, frozenset("ab"))


@pytest.mark.parametrize("edit", [lambda t: t + "\n", lambda t: t.replace("ünï", "uni"), lambda t: "#\n" + t])
def test_what_was_edited_since_is_not(edit: Callable[[str], str]) -> None:
    found = read_owned(edit(stamped(BODY, ["a"])))
    assert (found.state, found.roles) == ("edited", frozenset("a"))


@pytest.mark.parametrize(
    "line", ["# sage-doctor-install: ", "# sage-doctor-install: [1]", '# sage-doctor-install: {"roles": 5}']
)
def test_a_line_that_only_looks_like_ours_is_somebodys_edit(line: str) -> None:
    assert read_owned(f"{line}\n{BODY}").state == "edited"


def test_of_others_nothing_is_known(tmp_path: Path) -> None:
    assert read_owned(BODY).state == "foreign"
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    (tmp_path / "masked").symlink_to("/dev/null")
    (tmp_path / "directory").mkdir()
    assert [look_at(tmp_path / n).state for n in ("bytes", "masked", "directory", "none")] == [
        *["foreign"] * 3,
        "absent",
    ]
    (tmp_path / "file").write_text("x")
    with pytest.raises(DoctorError, match="is not accessible: not a directory; nothing was changed"):
        look_at(tmp_path / "file" / "below")


@pytest.mark.parametrize("role", ["a--b", "-->", "---", "]]> <x>&"])
def test_a_comment_of_xml_holds_any_role(role: str) -> None:
    text = stamped("<a/>\n", [role], comment=("<!-- ", " -->"))
    assert ET.fromstring(text).tag == "a"
    assert read_owned(text).roles == {role}
    assert read_owned(text).state == "ours"
