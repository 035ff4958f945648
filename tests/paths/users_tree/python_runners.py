"""Sixty ways, half of them here, in which the users' runners and those of public repositories write a machine's path.

`<<machine:path|need>>` is a path below a machine's home, `~` this machine's own; a third part is how it is written.
The need is `needed`, `created`, `default` and `made` (the same two, if nothing else is given), `optional` or `words`.
"""

# ruff: noqa: E501 - a template a line

from __future__ import annotations

HEAD = """#!/usr/bin/env python3
import argparse, json, logging, os, shutil, socket, sqlite3, subprocess, sys
from pathlib import Path
from transformers import AutoModelForCausalLM, AutoTokenizer
"""

PYTHON = {
    "from_pretrained": 'm = AutoModelForCausalLM.from_pretrained("<<thor:ai-workspace/HRM/zoo/stances/gone-7b|needed>>")',
    "from_pretrained_there": 'm = AutoModelForCausalLM.from_pretrained("<<thor:ai-workspace/HRM/zoo/m|needed>>")',
    "other_machine": 'MODEL = "<<sprout:ai-workspace/HRM/zoo/m|needed>>"\nAutoModelForCausalLM.from_pretrained(MODEL)',
    "other_machine_gone": 'MODEL = "<<sprout:ai-workspace/HRM/zoo/none-of-it|needed>>"\n'
    "AutoTokenizer.from_pretrained(MODEL)",
    "neighbour": 'sys.path.insert(0, "<<sprout:ai-workspace/web4|needed>>")\nimport json',
    "old_root": 'm = "<<sprout:ai-workspace/zoo/stances/merged|needed>>"\nAutoTokenizer.from_pretrained(m)',
    "old_root_own": 'm = "<<thor:ai-workspace/zoo/stances/merged|needed>>"\nAutoTokenizer.from_pretrained(m)',
    "variable": 'model_path = "<<thor:models/qwen|needed>>"\nprint(model_path)\n'
    "m = AutoModelForCausalLM.from_pretrained(model_path)",
    "attribute": 'class S:\n    def __init__(self):\n        self.model_path = "<<thor:models/qwen|needed>>"\n'
    "    def load(self):\n        return AutoTokenizer.from_pretrained(self.model_path)",
    "parameter": 'def main(model_path: str = "<<thor:models/qwen|default>>"):\n'
    "    return AutoTokenizer.from_pretrained(model_path)",
    "parameter_elsewhere": 'class V:\n    def __init__(self, model_path: str = "<<sprout:ai-workspace/HRM/zoo/m|default>>"):\n'
    "        self.model_path = model_path",
    "argparse_model": "p = argparse.ArgumentParser()\n"
    'p.add_argument("--model", default="<<thor:models/qwen|default>>")\n'
    'p.add_argument("--output", default="<<thor:results/out.json|made>>")\n'
    'p.add_argument("--log-dir", default="<<thor:logs/x|made>>")',
    "environ_set": 'os.environ["SAGE_MODEL_PATH"] = "<<thor:models/qwen|needed>>"\n'
    'os.environ["HF_HOME"] = "<<thor:.cache/none|created>>"',
    "environ_get": 'M = os.environ.get("MODEL_PATH", "<<thor:models/qwen|default>>")\nAutoTokenizer.from_pretrained(M)',
    "open_read": 'with open("<<thor:ai-workspace/HRM/configs/gone.json|needed>>") as f:\n    c = json.load(f)',
    "open_write": 'results_file = "<<thor:ai-workspace/HRM/results/new.json|created>>"\n'
    'with open(results_file, "w") as f:\n    json.dump({}, f)',
    "open_append": 'open("<<thor:session.log|created>>", "a").write("x")',
    "write_text": 'out = Path("<<thor:ai-workspace/HRM/out.txt|created>>")\nout.write_text("x")',
    "mkdir": 'D = Path("<<thor:ai-workspace/HRM/sage/sessions/new|created>>")\nD.mkdir(parents=True, exist_ok=True)\n'
    'open(D / "a.json", "w")',
    "parent_mkdir": 'P = Path("<<thor:ai-workspace/HRM/deep/x.json|created>>")\nP.parent.mkdir(parents=True)',
    "makedirs": 'save_path = "<<thor:zoo-out|created>>"\nos.makedirs(save_path, exist_ok=True)',
    "save_pretrained": 'def run(m, where="<<thor:ai-workspace/HRM/zoo/new|made>>"):\n    m.save_pretrained(where)',
    "file_handler": 'logging.basicConfig(handlers=[logging.FileHandler("<<thor:deploy.txt|created>>")])',
    "sqlite": 'DB = "<<thor:ai-workspace/HRM/memory/x.sqlite|created>>"\ncon = sqlite3.connect(DB)',
    "copy": 'shutil.copy("<<thor:ai-workspace/HRM/zoo/gone/config.json|needed>>", "<<thor:copy/config.json|created>>")',
    "guard": 'p = "<<thor:ai-workspace/extra|optional>>"\nif os.path.exists(p):\n    sys.path.insert(0, p)',
    "guard_path": 'b = Path("<<thor:ai-workspace/HRM/buffer-file|optional>>")\n'
    "data = json.loads(b.read_text()) if b.exists() else {}",
    "guard_demand": 'm = Path("<<thor:models/demanded|needed>>")\nif not m.exists():\n'
    '    raise FileNotFoundError("the model is missing")',
    "try_fallback": 'try:\n    m = AutoTokenizer.from_pretrained("<<thor:models/tried|optional>>")\n'
    'except OSError:\n    m = AutoTokenizer.from_pretrained("gpt2")',
    "try_and_end": 'try:\n    m = AutoTokenizer.from_pretrained("<<thor:models/tried|needed>>")\n'
    "except OSError as e:\n    print(e)\n    sys.exit(1)",
    "candidates": 'for c in ["<<thor:models/a|words>>", "<<sprout:models/a|words>>"]:\n    if os.path.isdir(c):\n        break',
    "machine_table": 'R = {"thor": "<<thor:ai-workspace/none|words>>", "sprout": "<<sprout:ai-workspace/none|words>>"}'
    "[socket.gethostname()]",
    "hostname": 'if socket.gethostname() == "sprout":\n    R = "<<sprout:ai-workspace/HRM|words>>"\nelse:\n'
    '    R = "<<thor:ai-workspace/HRM|words>>"',
    "whose_home": 'if Path("<<sprout:ai-workspace|words>>").exists():\n    w = "<<sprout:ai-workspace|words>>"\n'
    'else:\n    w = "<<thor:ai-workspace|words>>"',
    "home": 'M = Path.home() / "<<~:ai-workspace/HRM/zoo/gone-too|needed|ai-workspace/HRM/zoo/gone-too>>"\n'
    "AutoTokenizer.from_pretrained(M)",
    "home_there": 'M = Path.home() / "ai-workspace" / "HRM" / "zoo" / "m"\nAutoTokenizer.from_pretrained(str(M))',
    "home_name": 'HOME = Path.home()\nM = HOME / "<<~:models/none|needed|models/none>>"\nAutoTokenizer.from_pretrained(M)',
    "home_cache": 'cache = Path.home() / ".cache/huggingface/none"\nstore = Path.home() / ".sage" / "identity"\n'
    "store.mkdir(parents=True)",
    "expanduser": 'with open(os.path.expanduser("<<~:ai-workspace/none.json|needed|~/ai-workspace/none.json>>")) as f:\n    pass',
    "expanduser_method": 'B = Path("<<~:models/gone|needed|~/models/gone>>").expanduser()\nAutoTokenizer.from_pretrained(B)',
    "environ_home": "M = f\"{os.environ['HOME']}<<~:models/nothing|needed|/models/nothing>>\"\nAutoTokenizer.from_pretrained(M)",
    "drive": 'sys.path.insert(0, "<<cbp:/mnt/c/exe/projects/ai-agents/HRM|needed>>")',
    "drive_below": 'AutoTokenizer.from_pretrained("<<cbp:/mnt/c/exe/projects/ai-agents/HRM/zoo/m|needed>>")',
    "drive_guarded": "if Path('/mnt/c/exe/projects/ai-agents').exists():\n    w = '/mnt/c/exe/projects/ai-agents'\n"
    "else:\n    w = '.'",
    "subprocess_args": 'subprocess.run(["<<thor:venv/bin/python|needed>>", "x.py", "--output-dir", "<<thor:out2|created>>"], check=True)',
    "chdir": 'os.chdir("<<thor:ai-workspace/SAGE|needed>>")',
    "base_and_rest": 'BASE = "<<thor:ai-workspace/HRM/zoo|needed>>"\nm = AutoTokenizer.from_pretrained(BASE + '
    '"<<thor:ai-workspace/HRM/zoo/lost|needed|/lost>>")',
    "own_load": 'import torch\ndef load(x):\n    return x\nw = torch.load("<<thor:w.pt|needed>>")',
    "checkpoint": 'CKPT = "<<thor:ckpt/best.pt|needed>>"\nimport torch\ns = torch.load(CKPT)\n'
    'NEW = "<<thor:ckpt/new.pt|created>>"\ntorch.save(s, NEW)',
    "dataclass": 'class Config:\n    model_path: str = "<<thor:cfg-model|needed>>"\n    output_dir: str = "<<thor:cfg-out|created>>"',
    "several": 'GGUF = [Path.home() / "models/a.gguf", Path("/opt/models/a.gguf")]\nprint(GGUF)',
    "says_and_gives_up": 'P = os.path.join("<<thor:voices|needed>>", "x.wav")\ndef f():\n    if not os.path.exists(P):\n'
    '        print("missing")\n        return None\n    return open(P)',
    "words": '"""Made on <<sprout:ai-workspace/HRM|words>>."""\nprint("see <<thor:nowhere|words>>")  # <<sprout:x|words>>',
    "prompt": 'PROMPT = """You live in <<thor:nowhere/at/all|words>>\nand remember it."""',
    "one_or_the_other": 'a = Path(__file__).parents[1] / "zoo/m"\nb = "<<thor:models/other|optional>>"\n'
    "m = str(a) if a.exists() else b\nAutoModelForCausalLM.from_pretrained(m)",
    "one_or_the_other_in_branches": 'if os.path.isdir("<<~:ai-workspace/HRM/zoo/m|words>>"):\n    m = "<<~:ai-workspace/HRM/zoo/m|words>>"\n'
    'else:\n    m = "<<thor:models/other|optional>>"\nAutoModelForCausalLM.from_pretrained(m)',
    "own_place_gone": 'M = Path(__file__).resolve().parents[1] / "zoo"\nAutoModelForCausalLM.from_pretrained(<<~:ai-workspace/HRM/zoo/none|needed|M / "none">>)',
}  # fmt: skip
