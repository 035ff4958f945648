"""The forms in which public launchers name their models, followed; each was seen in several repositories."""

# ruff: noqa: E501 - a form a line

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from sage_doctor.launchers.code import read_code
from sage_doctor.launchers.uses import ModelUse, models_loaded

LOAD = "from transformers import AutoModelForCausalLM as M, AutoTokenizer\n"
MODULES = {
    "settings.py": "from dataclasses import dataclass\nDEFAULT = 'org/default'\nMODELS = {'small': 'org/small'}\n"
    "@dataclass\nclass Config:\n    model_path: str = 'zoo/m'\n    size: int = 1\n",
    "plugin.py": LOAD + "class Plugin:\n    def __init__(self, config=None):\n        self.config = config or {}\n"
    "        self.path = self.config.get('model_path', 'zoo/plugin')\n        self._load()\n"
    "    def _load(self):\n        self.model = M.from_pretrained(self.path)\n"
    "def load(name, device='cpu'):\n    return M.from_pretrained(name)\n"
    "if __name__ == '__main__':\n    Plugin({'model_path': 'zoo/for-a-try'})\n",
    "conf.json": '{"model": {"path": "zoo/json"}}',
    "conf.yaml": "# which\nmodel:\n  path: 'zoo/yaml'  # here\nother:\n  - 1\n",
    "conf.toml": '[model]\npath = "zoo/toml"\n',
}
FORMS = {
    "M.from_pretrained('org/name')": ["org/name"],
    "X = 'zoo/m'\nM.from_pretrained(X, device_map='auto')": ["zoo/m"],
    "M.from_pretrained(pretrained_model_name_or_path='zoo/m')": ["zoo/m"],
    "from transformers import pipeline\npipeline('text-generation', model='org/p')": ["org/p"],
    "from vllm import LLM\nLLM(model='org/v')": ["org/v"],
    "import os\nM.from_pretrained(os.environ.get('MODEL', 'zoo/m'))": ["zoo/m"],
    "import os\nM.from_pretrained(os.getenv('MODEL') or 'zoo/m')": ["zoo/m"],
    "import argparse\np = argparse.ArgumentParser()\np.add_argument('-m', '--model-path', default='zoo/m')\n"
    "args = p.parse_args()\nM.from_pretrained(args.model_path)": ["zoo/m"],
    "def run(path=None):\n    if path is None:\n        path = 'zoo/m'\n    M.from_pretrained(path)\nrun()": ["zoo/m"],
    "def load(path):\n    return M.from_pretrained(path)\ndef main():\n    load('zoo/m')\nmain()": ["zoo/m"],
    "class S:\n    PATH = 'zoo/m'\n    def load(self):\n        M.from_pretrained(str(self.PATH)).eval()": ["zoo/m"],
    "class S:\n    def __init__(self, path='zoo/m'):\n        self.path = path\n    def load(self):\n"
    "        M.from_pretrained(self.path)\nS()": ["zoo/m"],
    "import settings\nM.from_pretrained(settings.DEFAULT)": ["org/default"],
    "from settings import DEFAULT as D\nM.from_pretrained(D)": ["org/default"],
    "from settings import MODELS\nM.from_pretrained(MODELS['small'])": ["org/small"],
    "from settings import Config\nc = Config()\nM.from_pretrained(c.model_path)": ["zoo/m"],
    "from settings import Config\nc = Config(model_path='zoo/n')\nM.from_pretrained(c.model_path)": ["zoo/n"],
    "from plugin import Plugin\nPlugin()": ["zoo/plugin"],
    "from plugin import Plugin\nclass S:\n    def go(self, path='zoo/m'):\n        self.p = Plugin({'model_path': path})\n"
    "S().go()": ["zoo/m"],
    "import plugin\nplugin.load('zoo/m')": ["zoo/m"],
    "import json\nwith open('conf.json') as f:\n    c = json.load(f)\nM.from_pretrained(c['model']['path'])": ["zoo/json"],
    "import yaml\nc = yaml.safe_load(open('conf.yaml'))\nM.from_pretrained(c['model']['path'])": ["zoo/yaml"],
    "import tomllib\nfrom pathlib import Path\nc = tomllib.loads(Path('conf.toml').read_text())\n"
    "M.from_pretrained(c['model']['path'])": ["zoo/toml"],
    "from pathlib import Path\nR = Path(__file__).resolve().parent\nM.from_pretrained(str(R / 'zoo' / 'm'))": ["@/zoo/m"],
    "import os\nR = os.path.dirname(os.path.abspath(__file__))\nM.from_pretrained(os.path.join(R, 'zoo/m'))": ["@/zoo/m"],
    "from pathlib import Path\nM.from_pretrained(Path.home() / 'zoo/m')": ["~/zoo/m"],
    "N = 'm'\nM.from_pretrained(f'zoo/{N}')": ["zoo/m"],
    "def where():\n    return 'zoo/m'\nM.from_pretrained(where())": ["zoo/m"],
    # Not certain: the code has more than one, or the one that is used is known to the user only.
    "import sys\nM.from_pretrained('zoo/a' if sys.argv[1:] else 'zoo/b')": ["zoo/a", "zoo/b", None],
    "A = {'x': 'zoo/a', 'y': 'zoo/b'}\nimport sys\nM.from_pretrained(A[sys.argv[1]])": ["zoo/a", "zoo/b", None],
    "for c in ['zoo/a', 'zoo/b']:\n    M.from_pretrained(c)": ["zoo/a", "zoo/b", None],
    "import sys\nM.from_pretrained(sys.argv[1])": [None],
    "import argparse\np = argparse.ArgumentParser()\np.add_argument('--model', required=True)\n"
    "M.from_pretrained(p.parse_args().model)": [None],
    "import os\nM.from_pretrained(os.environ['MODEL'])": [None],
    "x = x\ndef f(a):\n    return f(a)\nM.from_pretrained(f(x))": [None],
    # Loads no model: a tokenizer by itself, a name in a text, no Python at all.
    "AutoTokenizer.from_pretrained('zoo/m')": [],
    "print('from_pretrained')": [],
    "def (": [],
}  # fmt: skip

# An adapter's load → the adapter, and the base where the code names one and no other.
ONTO = {
    "m = PeftModel.from_pretrained(M.from_pretrained('B'), 'A')": ("A", "B"),
    "B = path = 'B'\nb = M.from_pretrained(B).to('cuda')\nm = PeftModel.from_pretrained(b, 'A')": ("A", "B"),
    "b = M.from_pretrained('B', dtype='auto')\nb.eval()\nm = peft.PeftModel.from_pretrained(b, 'A')": ("A", "B"),
    "B = '/b'\ndef load():\n    b = M.from_pretrained(B)\n    return PeftModel.from_pretrained(b, A)\nA = '/a'": ("/a", "/b"),
    "PeftModel.from_pretrained(model=M.from_pretrained(resolve('b')), model_id=str(Path('/z') / 's' / 'a'))": ("/z/s/a", "b"),
    "PeftModel.from_pretrained(M.from_pretrained(os.path.join(ROOT, 'zoo', 'b')), Path(sys.argv[1]) / 'zoo/a')": ("…/zoo/a", "…/zoo/b"),
    "for b in BASES:\n    m = PeftModel.from_pretrained(M.from_pretrained(b), 'A')": ("A",),
    "B = 'x' if sys.argv[1:] else os.environ['B']\nm = PeftModel.from_pretrained(M.from_pretrained(B), 'A')": ("A",),
    "b = 'x'\nb = 'y'\nm = PeftModel.from_pretrained(M.from_pretrained(b), 'A')": ("A", "x", "y"),
    "m = PeftModel.from_pretrained(M.from_pretrained(f'{sys.argv[1]}/b'), 'A')": ("A",),
    "m = PeftModel.from_pretrained(PeftModel.from_pretrained(M.from_pretrained('x'), 'B'), 'A')": ("A",),
    "m = M.from_pretrained('B')\nm = PeftModel.from_pretrained(m, 'A')": ("A", "B"),
    "m = M.from_pretrained('B')\nm = PeftModel.from_pretrained(m, 'A')\nm = m.merge_and_unload()": ("A", "B"),
}  # fmt: skip


def said(uses: list[ModelUse], root: Path) -> list[str | None]:
    """Return the texts of all uses, a None where there may be others."""
    texts: list[str | None] = []
    for use in uses:
        texts += [t.replace(str(root / "home"), "~").replace(str(root), "@") for t in use.texts]
        texts += [None] if not use.known or len(use.texts) != 1 else []
    return texts


def test_every_form_is_followed(tmp_path: Path) -> None:
    for name, text in MODULES.items():
        (tmp_path / name).write_text(text)
    for number, form in enumerate(FORMS):
        (tmp_path / f"run_{number}.py").write_text(LOAD + form + "\n")
    code = read_code([tmp_path])
    found = {
        form: said(models_loaded(tmp_path / f"run_{n}.py", code, home=tmp_path / "home", roots=(tmp_path,)), tmp_path)
        for n, form in enumerate(FORMS)
    }
    assert found == FORMS


@pytest.mark.parametrize("form", ONTO)
def test_what_an_adapter_is_loaded_onto_is_its_base_and_no_model_of_the_role(tmp_path: Path, form: str) -> None:
    script = tmp_path / "run.py"
    script.write_text("import os, sys, peft\nfrom peft import PeftModel\n" + LOAD + form + "\n")
    uses = models_loaded(script, read_code([tmp_path]), home=tmp_path, roots=(tmp_path,))
    assert uses == [ModelUse(texts=ONTO[form][:1], known=True, adapter=True, bases=ONTO[form][1:])]


def test_two_adapters_that_one_variable_names_are_both_loaded(tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    load = "m = PeftModel.from_pretrained(m, '{}')\n"
    script.write_text(
        f"{LOAD}from peft import PeftModel\nm = M.from_pretrained('B')\n{load.format('A')}{load.format('C')}"
    )
    uses = models_loaded(script, read_code([tmp_path]), home=tmp_path, roots=(tmp_path,))
    assert sorted(use.texts for use in uses) == [("A",), ("C",)]


DEFAULTS = [
    "import argparse\np = argparse.ArgumentParser()\np.add_argument('--base', default='B')\nB = p.parse_args().base",
    "B = os.environ.get('BASE', 'B')",
    "def load(base='B'):\n    return PeftModel.from_pretrained(M.from_pretrained(base), 'A')\nB = 'B'",
    "class C:\n    base: str = 'B'\nB = C().base",
]


@pytest.mark.parametrize("form", DEFAULTS)
def test_a_default_is_not_all_that_a_run_may_load(tmp_path: Path, form: str) -> None:
    script = tmp_path / "run.py"
    load = "" if "def " in form else "\nm = PeftModel.from_pretrained(M.from_pretrained(B), 'A')"
    script.write_text("import os\nfrom peft import PeftModel\n" + LOAD + form + load + "\n")

    def bases(*, defaults_hold: bool) -> list[tuple[str, ...]]:
        code, roots = read_code([tmp_path]), (tmp_path,)
        return [u.bases for u in models_loaded(script, code, home=tmp_path, roots=roots, defaults_hold=defaults_hold)]

    assert bases(defaults_hold=True) == [("B",)]
    assert bases(defaults_hold=False) == [()]


def test_the_options_of_a_command_line_count_instead_of_defaults(tmp_path: Path) -> None:
    script = tmp_path / "serve.py"
    script.write_text(
        LOAD
        + textwrap.dedent("""\
        import argparse
        p = argparse.ArgumentParser()
        p.add_argument("--model", default="zoo/default")
        M.from_pretrained(p.parse_args().model)
    """)
    )
    code = read_code([tmp_path])
    (use,) = models_loaded(script, code, home=tmp_path, roots=(tmp_path,), options={"model": "zoo/given"})
    assert (use.texts, use.known) == (("zoo/given",), True)


def test_a_script_that_leads_in_circles_ends(tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    names = "\n".join(f"def f{n}(a):\n    return f{n + 1}(a) or f{n + 2}(a) or f0(a)" for n in range(200))
    (tmp_path / "c.yaml").write_text("a: " + " " * 60_000 + "x#\n" + "b:\n  c: {}\n" * 1000)
    read = "import yaml\nc = yaml.safe_load(open('c.yaml'))\nd = c['a'] or c['b']['c']\n"
    script.write_text(LOAD + read + names + "\nM.from_pretrained(f0(d))\n" + "a = " + "+".join(["'y'"] * 400) + "\n")
    (use,) = models_loaded(script, read_code([tmp_path]), home=tmp_path, roots=(tmp_path,))
    assert use.texts == ()
