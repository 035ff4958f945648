"""Notebooks: the code of their cells is read, with the lines of the file; what they say and show is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sage_doctor.paths.find import PathMap, Script, read_script
from sage_doctor.paths.find.path_map import build_path_map

# Laid out as Jupyter writes it; the second cell after a public notebook that loads Qwen-Image from a user's home.
CELLS: list[dict[str, Any]] = [
    {"cell_type": "markdown", "metadata": {}, "source": ["# Test\n", "was in /home/sprout/said\n"]},
    {
        "cell_type": "code",
        "execution_count": 1,
        "metadata": {},
        "outputs": [{"output_type": "display_data", "data": {"x": {"source": "a"}}, "text": ["/home/sprout/shown\n"]}],
        "source": [
            "%matplotlib inline\n",
            "!pip install diffusers\n",
            "files = !ls\n",
            "import os\n",
            "MODEL_PATH = '/home/sprout/models/image'\n",
            "if not os.path.isdir(MODEL_PATH):\n",
            "    raise FileNotFoundError(f'Model path not found: {MODEL_PATH}')\n",
            "os.path?",
        ],
    },
    {"cell_type": "code", "metadata": {}, "outputs": [], "source": "model = load_model(MODEL_PATH)\n"},
    {"cell_type": "code", "metadata": {}, "outputs": [], "source": ["!vllm serve \\\n", "  --model /home/sprout/m"]},
    {"cell_type": "code", "metadata": {}, "outputs": [], "source": ["pip install x\n", "cd /home/sprout/checkout\n"]},
    {
        "cell_type": "code",
        "metadata": {},
        "outputs": [],
        "source": ["%%bash\n", ". /home/sprout/venv/bin/activate"],
    },
    {"cell_type": "code", "metadata": {}, "outputs": [], "source": ["%%html\n", "<a href='/home/sprout/page'>"]},
    {"cell_type": "code", "metadata": {}, "outputs": [], "source": ["%%time\n", "open('/home/sprout/timed')"]},
]


@pytest.fixture
def known(tmp_path: Path) -> PathMap:
    return build_path_map(
        home=tmp_path / "me", own_roots=[tmp_path / "hrm"], other_roots=["/home/sprout"], machine_names=["sprout"]
    )


def notebook(cells: list[dict[str, Any]], language: str = "python") -> dict[str, Any]:
    metadata = {"kernelspec": {"language": language}, "language_info": {"name": language}}
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def read(text: str, tmp_path: Path, known: PathMap) -> Script:
    path = tmp_path / "hrm/a.ipynb"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return read_script(path, known, directory=tmp_path)


def used(script: Script) -> list[tuple[str, str]]:
    return [(r.text.removeprefix("/home/sprout/"), r.need) for r in script.references if r.used]


def test_the_code_of_a_notebook(tmp_path: Path, known: PathMap) -> None:
    text = json.dumps(notebook(CELLS), indent=1)
    script = read(text, tmp_path, known)
    assert (script.language, script.problem) == ("notebook", "")
    assert used(script) == [
        ("models/image", "needed"),  # the second and third cell say so
        ("m", "needed"),
        ("checkout", "needed"),
        ("venv/bin/activate", "needed"),
        ("timed", "needed"),
    ]
    lines = text.split("\n")
    for reference in script.references:
        assert reference.text in lines[reference.line - 1]


def test_a_notebook_in_one_line(tmp_path: Path, known: PathMap) -> None:
    script = read(json.dumps(notebook(CELLS)), tmp_path, known)
    assert {r.line for r in script.references} == {1}
    assert ("models/image", "needed") in used(script)


def test_a_cell_that_is_no_python_is_said(tmp_path: Path, known: PathMap) -> None:
    cells = [*CELLS, {"cell_type": "code", "source": ["def (:\n", "  '/home/sprout/lost'"]}]
    script = read(json.dumps(notebook(cells), indent=1), tmp_path, known)
    assert script.problem == "its code cell 8 is not the syntax of this Python"
    assert ("models/image", "needed") in used(script)


@pytest.mark.parametrize(
    "text, said",
    [
        ("{", "it is not valid JSON"),
        ("[" * 5000 + "'/home/sprout/x'", "it is not valid JSON"),
        ('["/home/sprout/x"]', "not a notebook of format 4"),
        (json.dumps({"worksheets": ["/home/sprout/x"]}), "not a notebook of format 4"),
        (json.dumps(notebook(CELLS, "R")), "not in Python"),
    ],
)
def test_what_is_no_notebook_is_said(text: str, said: str, tmp_path: Path, known: PathMap) -> None:
    script = read(text.replace("{", '{"/home/sprout": 1', 1) if text == "{" else text, tmp_path, known)
    assert said in script.problem
    assert script.references == ()


@pytest.mark.parametrize(
    "cells", [[None], [{}], [{"source": 5}], [{"source": [5]}], [{"cell_type": "code", "source": []}]]
)
def test_strange_cells_are_passed_over(cells: list[Any], tmp_path: Path, known: PathMap) -> None:
    script = read(json.dumps({**notebook(cells), "x": "/home/sprout/x"}), tmp_path, known)
    assert (script.problem, script.references) == ("", ())
