"""Which machine this host is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sage_doctor.manifest.specs import MachineSpec, Manifest

Load = Callable[..., Manifest]
Problems = Callable[..., list[str]]

TWO = """
[machines.thor]
match.hostname = ["Thor*", "agx"]
match.device_tree = "*AGX Thor*"
[machines.sprout]
match.hostname = "sprout"
"""


def matched(manifest: Manifest) -> str | None:
    return manifest.machine.name if manifest.machine is not None else None


@pytest.mark.parametrize(
    "hostname, device_tree, machine",
    [
        ("thor", None, "thor"),
        ("THOR-2.lan", None, "thor"),
        ("agx", None, "thor"),
        ("agx.example.org", None, "thor"),
        ("agx2", None, None),
        ("ubuntu", "NVIDIA Jetson AGX THOR Developer Kit", "thor"),
        ("ubuntu", "NVIDIA Jetson Orin Nano", None),
        ("ubuntu", "", None),
        ("sprout", "NVIDIA Jetson Orin Nano", "sprout"),
        ("", None, None),
    ],
)
def test_hostname_or_device_tree(load: Load, hostname: str, device_tree: str | None, machine: str | None) -> None:
    assert matched(load(TWO, hostname=hostname, device_tree=device_tree)) == machine


def test_sage_machine_decides(load: Load, problems: Problems) -> None:
    assert matched(load(TWO, hostname="thor", environ={"SAGE_MACHINE": "sprout"})) == "sprout"
    assert matched(load(TWO, hostname="thor", environ={"SAGE_MACHINE": ""})) == "thor"
    assert problems(TWO, hostname="thor", environ={"SAGE_MACHINE": "thr"}) == [
        "3: SAGE_MACHINE is 'thr': not a machine of the manifest (did you mean thor? machines: thor, sprout)"
    ]
    assert "'\\x1b[31m'" in problems(TWO, environ={"SAGE_MACHINE": "\x1b[31m"})[0]


def test_a_manifest_without_machines_does_not_ask(load: Load) -> None:
    assert load("", environ={"SAGE_MACHINE": "thor"}).machine is None


def test_two_matches_are_told_and_settled_by_sage_machine(load: Load, problems: Problems) -> None:
    text = TWO + "[models.m]\nkind = 'full'\npath = '{zoo}'\n[machines.sprout.vars]\nzoo = '/zoo'"
    # and nothing about {zoo}, which may well be set once that is settled
    [problem] = problems(text, hostname="sprout", device_tree="Jetson AGX Thor")
    assert problem == (
        "6: this host (hostname 'sprout', device tree 'Jetson AGX Thor') matches [machines.thor] (line 3) and "
        "[machines.sprout] (line 6); set SAGE_MACHINE to the name of one, or narrow their match"
    )
    both = load(text, hostname="sprout", device_tree="Jetson AGX Thor", environ={"SAGE_MACHINE": "sprout"})
    assert matched(both) == "sprout"


def test_everything_a_machine_says(load: Load, tmp_path: Path) -> None:
    text = """
    python = "{venv}/bin/python"
    accelerator = "cpu"
    vars.venv = "venv"
    [machines.a]
    match.hostname = "host"
    match.device_tree = ["*x*", "y"]
    roles = ["r"]
    python = "~/env/bin/../bin/python"
    accelerator = "cuda"
    home = "/home/dp"
    vars.zoo = "{home}/zoo"
    [machines.b]
    vars.venv = "~/b"
    [machines.c]
    [roles.r]
    [roles.s]
    """
    manifest = load(text)
    assert manifest.machine == MachineSpec(
        name="a",
        hostname=("host",),
        device_tree=("*x*", "y"),
        roles=("r",),
        python=Path("/home/me/env/bin/../bin/python"),
        accelerator="cuda",
        vars={"zoo": "/home/dp/zoo"},
        home="/home/dp",
        line=6,
    )
    assert (manifest.python, manifest.accelerator) == (manifest.machine.python, "cuda")
    assert manifest.machines["a"] is manifest.machine
    b, c = manifest.machines["b"], manifest.machines["c"]
    assert (b.python, b.accelerator, b.roles, b.vars) == (None, "cpu", ("r", "s"), {})  # ~ is that machine's secret
    assert c.python == tmp_path / "venv/bin/python"
    there = load(text, environ={"SAGE_MACHINE": "b"})
    assert there.python == Path("/home/me/b/bin/python")
    nowhere = load(text, hostname="nowhere")
    assert (nowhere.python, nowhere.accelerator) == (tmp_path / "venv/bin/python", "cpu")


def test_what_only_another_machine_knows_is_no_problem_here(load: Load, problems: Problems) -> None:
    text = """
    [machines.a]
    python = "{env:CONDA}/bin/python"
    vars.zoo = "{env:ZOO}"
    [machines.b]
    """
    manifest = load(text, environ={"SAGE_MACHINE": "b"})
    assert (manifest.machines["a"].python, manifest.machines["a"].vars) == (None, {})
    assert problems(text, environ={"SAGE_MACHINE": "a"}) == [
        "4: [machines.a] python: environment variable 'CONDA' is not set"
    ]
