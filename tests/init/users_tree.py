"""A repository like the first users': five families of runners, 80 adapters, 16 models without weights, four machines.

Each machine has the checkout in its own home, and other models in it; what git ignores differs from one to the next.
"""

# ruff: noqa: E501 - a line of a file a line

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.model_directories import MODEL, PROJECTION, write_adapter, write_full, write_tokenizer

USERS = {"thor": "dp", "sprout": "sprout", "legion": "legion", "cbp": "dennis"}
CHECKOUT = "ai-workspace/HRM"
ZOO = "model-zoo/sage/epistemic-stances/qwen2.5-0.5b"
_HEAD = "#!/usr/bin/env python3\nimport argparse, os, sys\nfrom pathlib import Path\n"
_LOAD = "from transformers import AutoModelForCausalLM, AutoTokenizer\n"
_MAIN = 'if __name__ == "__main__":\n    main()\n'

# sage/irp: what the runners below load through; sage/raising: a model by another machine's path, by a plugin's words.
PLUGIN = (
    _LOAD + "from peft import PeftModel\nfrom pathlib import Path\nclass IntrospectiveIRP:\n"
    "    def __init__(self, config=None):\n        self.config = config or {}\n"
    f"        default = str(Path(__file__).parent.parent.parent / '{ZOO}' / 'Introspective-v2.1' / 'model')\n"
    "        self.model_path = self.config.get('model_path', default)\n        self.base_model = 'Qwen/Qwen2.5-0.5B'\n"
    "        self.is_merged = self.config.get('is_merged_model', False)\n        self._load()\n"
    "    def _load(self):\n        self.tokenizer = AutoTokenizer.from_pretrained(self.base_model)\n"
    "        if self.is_merged:\n            self.model = AutoModelForCausalLM.from_pretrained(self.model_path)\n"
    "        else:\n            base = AutoModelForCausalLM.from_pretrained(self.base_model)\n"
    "            self.model = PeftModel.from_pretrained(base, self.model_path)\n"
)
RAISING = (
    _HEAD + "from sage.irp.introspective import IntrospectiveIRP\nclass Session:\n"
    "    def initialize_model(self, model_path: str = None):\n        if model_path is None:\n"
    f'            model_path = "<sprout>/{CHECKOUT}/{ZOO}/introspective-merged"\n'
    "        self.model = IntrospectiveIRP({'model_path': model_path, 'is_merged_model': True})\n"
    "def main():\n    parser = argparse.ArgumentParser()\n    parser.add_argument('--model', type=str)\n"
    "    args = parser.parse_args()\n    Session().initialize_model(args.model)\n" + _MAIN
)
CHOOSING = RAISING.replace(
    f'            model_path = "<sprout>/{CHECKOUT}/{ZOO}/introspective-merged"\n',
    f"            merged = Path(__file__).parents[3] / '{ZOO}' / 'introspective-merged'\n"
    f"            adapter = Path(__file__).parents[3] / '{ZOO}' / 'Introspective-v2.1' / 'model'\n"
    "            model_path = str(merged) if (merged / 'model.safetensors').exists() else str(adapter)\n",
)
THOR_ONLY = (
    _HEAD + "from peft import AutoPeftModelForCausalLM\nHRM_ROOT = Path(__file__).resolve().parents[3]\n"
    f"class E:\n    def __init__(self):\n        self.model_path = str(HRM_ROOT / '{ZOO}' / 'Introspective-v2.1' / 'model')\n"
    "    def load(self):\n        self.model = AutoPeftModelForCausalLM.from_pretrained(self.model_path)\n"
    "def main():\n    E().load()\n" + _MAIN
)
TRACK = (
    _HEAD + _LOAD + "def load_14b(model_path: str = 'org/big-instruct'):\n"
    "    return AutoModelForCausalLM.from_pretrained(model_path)\ndef main():\n    load_14b()\n" + _MAIN
)
DAEMON = (
    _HEAD + _LOAD + f"DEFAULT_MODEL = '{ZOO.replace('qwen2.5-0.5b', 'base')}'\nclass Server:\n"
    "    def __init__(self, model_path: str = DEFAULT_MODEL):\n        self.model_path = model_path\n"
    "    def load(self):\n        self.model = AutoModelForCausalLM.from_pretrained(self.model_path)\n"
    "def main():\n    p = argparse.ArgumentParser()\n    p.add_argument('--model', default=DEFAULT_MODEL)\n"
    "    Server(model_path=p.parse_args().model).load()\n" + _MAIN
)
VOICE = (
    _HEAD + _LOAD + "MODELS = {'a': 'model-zoo/weightless/03', 'b': 'model-zoo/adapters/session_05'}\n"
    "def main():\n    AutoModelForCausalLM.from_pretrained(MODELS[sys.argv[1]])\n" + _MAIN
)
FILES = {
    "sage/irp/introspective.py": PLUGIN,
    **{f"sage/raising/scripts/run_session_{n}.py": RAISING for n in ("primary", "experimental", "sensing")},
    "sage/raising/scripts/run_session_anchored.py": CHOOSING,
    "sage/raising/scripts/thor_session.py": THOR_ONLY,
    "sage/raising/scripts/test_session.py": RAISING,
    **{f"sage/raising/tracks/raising-14b/run_phase{n}.py": TRACK for n in range(1, 6)},
    "sage/daemon/sage_server.py": DAEMON,
    "sage/daemon/start_sage.sh": '#!/bin/bash\ncd "$(dirname "$0")/../.."\npython3 sage/daemon/sage_server.py \\\n'
    f"    --model {ZOO}/small --port 8765\n",
    "sage/voice/voice_chat.py": VOICE,
    "sage/training/train_lora.py": RAISING,
    "archive/run_old_session.py": RAISING,
    "archive/models/old/config.json": '{"model_type": "llama"}',
    "sage/units/sage-daemon-sprout.service": "[Service]\nUser=sprout\nEnvironment=SAGE_MACHINE=sprout\n"
    f"WorkingDirectory=<sprout>/{CHECKOUT}\nExecStart=/usr/bin/python3 -m sage.daemon.sage_server\n",
    "sage/units/sage-daemon-thor.service": "[Service]\nUser=dp\nEnvironment=SAGE_MACHINE=thor\n"
    f"WorkingDirectory=<thor>/{CHECKOUT}\nExecStart=/usr/bin/python3 -m sage.daemon.sage_server\n",
    **{
        f"sage/scripts/{m}_raising.sh": f"#!/bin/bash\ncd <{m}>/{CHECKOUT} || exit 1\n"
        "python3 -m sage.raising.tracks.report --machine " + m + "\n"
        for m in USERS
    },
    "sage/raising/tracks/report.py": "print('no model')\n",
}  # fmt: skip


@dataclass(frozen=True)
class Machine:
    """The checkout on one machine, and that machine's home."""

    name: str
    home: Path
    checkout: Path


def lay_out(root: Path, name: str) -> Machine:
    """Build the checkout of one machine below `root`, where all homes are."""
    home = root / "home" / USERS[name]
    checkout = home / CHECKOUT
    for path, template in FILES.items():
        text = template
        for machine, user in USERS.items():
            text = text.replace(f"<{machine}>", str(home) if machine == name else f"/home/{user}")
        (checkout / path).parent.mkdir(parents=True, exist_ok=True)
        (checkout / path).write_text(text)
        (checkout / path).chmod(0o755 if path.endswith(".sh") else 0o644)
    _write_models(checkout, name)
    for number in range(16):
        (write_full(checkout / f"model-zoo/weightless/{number:02}") / MODEL).unlink()
    for number in range(80):
        write_adapter(checkout / f"model-zoo/adapters/session_{number:02}", "./fine_tuned_model/final_model")
    for number in range(20):
        write_adapter(checkout / f"model-zoo/runs/r{number}/checkpoint-{number + 1}", None)
    return Machine(name, home, checkout)


def _write_models(checkout: Path, name: str) -> None:
    """Write what each machine has: the merged model is whole on sprout only, its adapter is on thor."""
    write_full(checkout / "model-zoo/sage/epistemic-stances/base")
    write_full(checkout / ZOO / "small")
    # Another model that the adapter does not fit: twice as wide.
    wide = {"model.embed_tokens.weight": (16, 16), f"{PROJECTION}.weight": (16, 16), "model.norm.weight": (16,)}
    write_full(checkout / "model-zoo/sage/epistemic-stances/introspective-wide", tensors=wide, hidden_size=16)
    merged = write_full(checkout / ZOO / "introspective-merged")
    if name == "thor":
        (merged / MODEL).unlink()
        write_adapter(checkout / ZOO / "Introspective-v2.1" / "model", "./gone/final_model")
        write_tokenizer(checkout / ZOO / "Introspective-v2.1" / "model")
