"""Findings of one kind about many files are one, and its evidence holds all of them."""

from __future__ import annotations

from pathlib import Path

from sage_doctor.findings.many import InFile, about, each_file, told_as_one
from sage_doctor.report import Finding, Fix


def found(number: int) -> Finding:
    return Finding(
        code="script-crlf",
        severity="warning",
        subject=f"{number}.py",
        check="",
        message="its first line ends in CR LF",
        evidence={"file": f"/x/{number}.py", "count": 2, "path": "/home/other/x"},
        fix=Fix(summary="Convert them.", commands=(f"sed {number}.py",)),
    )


def test_few_are_told_one_by_one() -> None:
    assert list(told_as_one(found(n) for n in range(5))) == [found(n) for n in range(5)]


def test_many_are_told_as_one() -> None:
    (one,) = told_as_one(found(n) for n in range(300))
    assert one.subject == "300 files"
    assert "0.py, 1.py, 2.py and 297 more, 600 paths" in one.message
    assert [(e.subject, e.count) for e in each_file(one)] == [(f"{n}.py", 2) for n in range(300)]
    assert one.fix.commands == ()


def test_one_of_many_can_be_asked_for() -> None:
    (one,) = told_as_one(found(n) for n in range(9))
    assert [e.subject for e in each_file(about(one, {Path("/x/7.py")}))] == ["7.py"]
    assert about(found(1), {Path("/x/7.py")}) == found(1)


def test_evidence_that_names_files_is_about_no_many() -> None:
    names = Finding(
        code="hub-blob-missing",
        severity="error",
        subject="m",
        check="",
        message="",
        evidence={"files": ["a", "b"]},
        fix=Fix(summary=""),
    )
    assert list(each_file(names)) == [InFile(subject="m", file="m", count=0, message="")]
    assert about(names, {Path("/x/7.py")}) == names
