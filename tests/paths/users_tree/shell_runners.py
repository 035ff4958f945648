"""The shell scripts among the runners, written as `python_runners` says."""

# ruff: noqa: E501 - a template a line

from __future__ import annotations

SHELL = {
    "renamed_checkout": 'SAGE_DIR="<<thor:ai-workspace/SAGE|needed>>"\ncd "$SAGE_DIR"\npython3 -m sage.run',
    "renamed_and_below": "cd <<thor:ai-workspace/SAGE/sage/scripts|needed>> || exit 1",
    "other_checkout": "cd <<sprout:ai-workspace/HRM|needed>>\npython3 sage/scripts/x.py",
    "source": "source <<thor:venvs/gone/bin/activate|needed>>\npython3 x.py",
    "source_guarded": "[ -f <<thor:.env-none|words>> ] && source <<thor:.env-none|optional>>\n:",
    "source_home": '. <<~:cuda_env.sh|needed|"$HOME/cuda_env.sh">>',
    "tilde": "cd <<~:ai-workspace/nope|needed|~/ai-workspace/nope>>",
    "model_option": "python3 run.py --model <<thor:models/none|needed>> --output <<thor:results/y|created>>",
    "model_equals": "python3 run.py --model=<<thor:models/none|needed>> --log-dir=<<thor:results/y|created>>",
    "vllm": "vllm serve --port 80 \\\n  --model <<thor:ai-workspace/HRM/zoo/none|needed>>",
    "default": 'MODEL="${MODEL:-<<thor:models/none|default>>}"\npython3 run.py --model "$MODEL"',
    "interpreter": 'PYTHON="<<thor:miniforge3/bin/python3|needed>>"\n"$PYTHON" run.py',
    "script": "python3 -u <<thor:ai-workspace/HRM/scripts/none.py|needed>>",
    "log": 'LOG_DIR="<<thor:ai-workspace/HRM/logs/new|created>>"\nmkdir -p "$LOG_DIR"\necho x >> "$LOG_DIR/a.log"',
    "redirect": "date > <<thor:stamp|created>>\nsort < <<thor:missing-input|needed>>",
    "tee": "OUT=<<thor:phase2.txt|created>>\ndate | tee -a $OUT",
    "tolerated": "tail -5 <<thor:session_3.txt|optional>> 2>/dev/null || echo none",
    "made_if_missing": 'VENV="<<thor:venvs/new|created>>"\nif [ ! -d "$VENV" ]; then python3 -m venv "$VENV"; fi',
    "demanded": 'ENV_DIR=<<thor:venvs/wanted|needed>>\nif [ ! -d "$ENV_DIR" ]; then\n  echo "missing"\n  exit 1\nfi',
    "by_hostname": 'case "$(hostname)" in\n  sprout) cd <<sprout:ai-workspace/none|other>> ;;\n'
    "  thor) cd <<thor:ai-workspace/none|other>> ;;\nesac",
    "echo": 'echo "  Base: <<thor:nowhere|words>>"\n# was <<sprout:nowhere|words>>',
    "server": 'MODEL_PATH="<<thor:models/q.gguf|needed>>"\nLOGS="<<thor:serve-logs|created>>"\nmkdir -p "$LOGS"\n'
    'BIN="<<thor:llama.cpp/llama-server|needed>>"\n"$BIN" -m "$MODEL_PATH" > "$LOGS/server.log" 2>&1 &',
    "unpack": "tar xf <<thor:a.tgz|needed>> -C /tmp",
    "export": "export SAGE_MODEL=<<thor:models/none|needed>>\nexport HF_HOME=<<thor:hf-cache|created>>",
    "base_and_rest": 'ROOT="<<thor:ai-workspace/HRM|needed>>"\ncd <<thor:ai-workspace/HRM/gone-dir|needed|"$ROOT/gone-dir">>',
    "drive": "cd <<cbp:/mnt/c/exe/projects/ai-agents/HRM|needed>>",
    # After launch scripts of public repositories.
    "held_python": "python3 - <<'PY'\nfrom transformers import AutoTokenizer\n"
    'AutoTokenizer.from_pretrained("<<thor:models/none|needed>>")\nPY',
    "held_python_other": '"$PYTHON" - "$1" <<PY\nimport sys\nsys.path.insert(0, "<<sprout:ai-workspace/HRM/sage|needed>>")\nPY',
    "held_configuration": "cat > run.yaml <<EOF\nmodel_name_or_path: <<sprout:ai-workspace/HRM/zoo/m|needed>>\n"
    "output_dir: <<thor:out/new|created>>\nEOF",
    "held_text": "cat <<EOF\nsee <<sprout:ai-workspace/HRM/zoo/m|words>>\nEOF",
    "by_ssh": 'ssh sprout "cd <<sprout:ai-workspace/none|words>> && ./run.sh"',
    "in_container": "docker run \\\n  -v <<sprout:models/none|created>>:/models \\\n  -v ./m:<<sprout:models/none|words>> \\\n"
    "  vllm --model <<sprout:models/none/q|words>>",
    "substitution": "sed -i 's|<<sprout:ai-workspace/none|words>>|x|g' conf.yaml",
    "own_place": 'HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"\n'
    'source <<~:ai-workspace/HRM/runners/venv/bin/activate|needed|"$HERE/venv/bin/activate">>',
    "own_place_made": 'HERE="$(cd "$(dirname "$0")" && pwd)"\npython3 -m venv "$HERE/venv"\n'
    'source <<~:ai-workspace/HRM/runners/venv/bin/activate|made|"$HERE/venv/bin/activate">>',
    "default_and_below": 'D="${D:-$HOME/ai-workspace/HRM}"\nF=<<~:ai-workspace/HRM/none.json|default|"$D/none.json">>\n'
    'if [[ ! -f "$F" ]]; then echo "no $F"; exit 1; fi',
}
