"""The scripts that this machine's roles start."""

from pathlib import Path

import pytest

from tests.model_directories import write_full

from .cases import Bench, Case, Cases

CASES = Cases()
ONE_MODEL = '[models.m]\nkind = "full"\npath = "here"\n'


def runner(bench: Bench, text: str, name: str = "run.py") -> None:
    write_full(bench.here)
    (bench.root / "scripts").mkdir()
    (bench.root / "scripts" / name).write_bytes(text.encode())
    bench.manifest(f'[roles.r]\nmodels = ["m"]\nrunners = ["scripts/*"]\n{ONE_MODEL}', "m")


@CASES.passes("check_runners")
def sound(bench: Bench) -> None:
    runner(bench, '#!/usr/bin/env python3\nMODEL = "models/m"\n')


@CASES.skips("check_runners", "names runners")
def no_runners(bench: Bench) -> None:
    write_full(bench.here)
    bench.manifest(ONE_MODEL, "m")


@CASES.skips("check_runners", "names runners")
def no_manifest(bench: Bench) -> None:
    write_full(bench.here)


@CASES.finds("check_runners", "runner-missing", "no file matches scripts/*, the runners of role r", subject="scripts/*")
def gone(bench: Bench) -> None:
    runner(bench, "")
    (bench.root / "scripts" / "run.py").unlink()


@CASES.passes("check_runners")
def line_ends_of_windows_for_python(bench: Bench) -> None:
    runner(bench, "#!/usr/bin/env python3\r\nprint()\r\n")


@CASES.finds("check_runners", "script-crlf", "only as `python FILE`", severity="warning", subject="scripts/run.py")
def line_ends_of_windows_in_what_can_be_started(bench: Bench) -> None:
    runner(bench, "#!/usr/bin/env python3\r\nprint()\r\n")
    (bench.root / "scripts/run.py").chmod(0o755)


@CASES.finds("check_runners", "script-crlf", "a part of each command", subject="scripts/run.sh")
def line_ends_of_windows_for_a_shell(bench: Bench) -> None:
    runner(bench, "#!/bin/sh\r\nset -e\r\nexit\r\n", "run.sh")


@CASES.finds("check_runners", "runner-path-missing", "line 2: ", subject="scripts/run.py")
def model_that_was_moved(bench: Bench) -> None:
    runner(bench, f'from x import A\nA.from_pretrained("{bench.root}/zoo/gone")\n')


@CASES.finds("check_runners", "runner-path-missing", "; here it is ", subject="scripts/run.sh")
def checkout_that_was_renamed(bench: Bench) -> None:
    (bench.root / "sage/scripts").mkdir(parents=True)
    runner(bench, f"#!/bin/sh\ncd {bench.root}/old/sage/scripts\n", "run.sh")


@CASES.finds("check_runners", "runner-path-missing", "the default path", severity="warning", subject="scripts/run.py")
def default_that_is_gone(bench: Bench) -> None:
    runner(bench, f'def main(model="{bench.root}/zoo/gone"):\n    open(model)\n')


NEEDED_ANYWHERE = {
    "run.py": (
        'A.from_pretrained("/data/models/gone")',
        'MODEL = "/mnt/nas/gone"\nA.from_pretrained(MODEL)',
        'open("/srv/prompts/gone.txt").read()',
        'subprocess.run(["python", "/workspace/gone.py", "--model", "/models/gone"])',
        'subprocess.run("cd /workspace/gone && python run.py", shell=True)',
        'p.add_argument("--model", default="/data/models/gone")\nA.from_pretrained(p.parse_args().model)',
        'class C:\n    path: Path = field(default_factory=lambda: Path("/data/gone"))\nload(C().path)',
        'M = "/data/gone"\nopen(M)\nM = "/tmp"',
        'M = "/data/gone"\nM = M + "/x"\nopen(M)',
        'M = "/data/gone"\nif a:\n    M = "/tmp"\nopen(M)',
        'M = "/data/gone"\nB = M\nM = "/tmp"\nopen(B)',
        'def load(self):\n    path = "/data/gone"\n    return A.load(path)\ndef save(path):\n    open(path, "w")',
    ),
    "run.sh": (
        "cd /data/gone || exit 1",
        "source /opt/venvs/gone/bin/activate",
        "vllm serve /data/models/gone --port 8001",
        "python scripts/run.py --model-path=/mnt/models/gone",
        "ROOT=/data/gone\npython $ROOT/run.py",
        'ARGS=(\n  --model /data/gone\n  --port 1\n)\nvllm serve "${ARGS[@]}"',
        'ARGS=(--port 1 --model "/data/gone")\nexec vllm serve "${ARGS[@]}"',
        'ARGS="--model /data/gone --output /data/out"\npython serve.py $ARGS',
        "env CUDA_VISIBLE_DEVICES=0 numactl -N 0 /opt/gone/bin/python run.py",
        "conda run -p /opt/envs/gone python run.py",
        '"$LLAMA" -m /data/gone.gguf -c 4096',
        "uv run /data/gone.py",
        "python -m verl.trainer.main_ppo --config-name=x actor.model.path=/data/gone",
        'python eval.py --model /data/gone --output "/data/gone_results.json"',
        'MODEL=/data/gone\npython eval.py --model $MODEL --output "${MODEL}_results.json"',
        "gsutil -m cp -r /data/gone gs://bucket/x",
        "docker run -v /data/in:/models image --model /models/x; /opt/gone/bin/llama-server --version",
        "srun -n 4 -p gpu python -u /data/gone.py",
        "srun --gres=gpu:8 --jobid $1 bash -c 'cd /data/gone && torchrun train.py'",
        'nohup sh -c "source /data/gone/bin/activate && python run.py" > log 2>&1 &',
        'bash -lc "python x.py --model \\"/data/gone\\""',
        'M=/data/gone\nbash -c "cd $M && ./run.sh"',
        "python3 -c \"from x import A; A.from_pretrained('/data/gone')\"",
        "timeout 5m python -c '\nimport json\njson.load(open(\"/data/gone\"))\n'",
        "sudo -u me /opt/gone/bin/python run.py",
        "mpirun -np 4 -hostfile hosts python /data/gone.py",
        "torchrun --nproc_per_node 8 --master_port 1 /data/gone.py --lr 1",
        "accelerate launch --config_file x.yaml /data/gone.py",
        "uv run --with torch python /data/gone.py",
        "conda run --no-capture-output -n llm python /data/gone.py",
        "python -m torch.distributed.run --nproc_per_node=8 /data/gone.py",
        'PY="python -u"\n$PY /data/gone.py',
        'LAUNCH="accelerate launch --num_processes 8"\n$LAUNCH /data/gone.py',
        'NAME=gone\ncd "/data/$NAME"',
        "singularity exec --nv -B /data:/data /data/gone.sif python x.py",
        "python train.py --data_path /data/gone --image_folder /data/gone/images",
        'F=/data/gone\npython -m verl.trainer.main_ppo data.train_files="$F"',
        "composer train.py model.path=/data/gone",
        "cat /data/gone/*.txt",
        '"$(dirname "$0")/gone.sh"',
        'python "$(dirname "$0")/../gone.py"',
        "M=/data/gone\nvllm serve $M\nM=/tmp",
        'M=/data/gone\nM="$M/x"\nvllm serve $M',
        'M=/data/gone\nif [ -n "$1" ]; then M=/tmp; fi\nvllm serve $M',
        'M=/data/gone\n[ -z "$M" ] && exit 1\nvllm serve $M',
    ),
}


@pytest.mark.parametrize("name, text", [(n, t) for n, texts in NEEDED_ANYWHERE.items() for t in texts])
def test_what_a_runner_needs_it_needs_wherever_that_is(name: str, text: str, tmp_path: Path) -> None:
    bench = Bench(root=tmp_path)
    runner(bench, f"{text}\n", name)
    found = bench.run("check_runners").findings
    assert [(f.code, f.subject) for f in found] == [("runner-path-missing", f"scripts/{name}")], text


# Addresses, other machines' and containers' paths, what is made, tried or looked for, and what follows a variable.
NOT_NEEDED_ANYWHERE = {
    "run.py": """
import json, os, re, requests, shutil, subprocess
from pathlib import Path
BASE = os.environ.get("BASE", "http://localhost:8000")
MODELS = "/v1/models"
MODEL_PATH = "/v1/models"
model_endpoint = "/api/generate"
INPUT = "/v1/completions"
@app.get("/v1/models")
def models():
    return requests.get(BASE + "/v1/models").json()
@app.post("/api/chat/completions")
def chat(model="/models/default"):
    return requests.post(f"{BASE}/v1/chat/completions", json={"model": "/models/served-name"}).json()
app.mount("/static/files", object())
DATA = os.getenv("DATA_DIR", "/data/sessions")
Path("/data/out/x").mkdir(parents=True, exist_ok=True)
with open("/data/out/x/log.txt", "w") as f: f.write("")
if os.path.exists("/data/optional/config.json"):
    json.load(open("/data/optional/config.json"))
for cand in ("/data/models", "/mnt/models/qwen", "/workspace/models"):
    if Path(cand).is_dir():
        break
subprocess.run(["docker", "run", "-v", "/data/in:/models", "image", "--model", "/models/qwen"])
subprocess.run(["docker", "exec", "c", "python", "/app/run.py"])
subprocess.run(["ssh", "host", "python", "/data/remote/run.py"])
subprocess.run("ssh host 'cd /data/remote && python /data/remote/run.py'", shell=True)
shutil.copyfile(own_directory() + "/template/run.sh", tmp_dir + "/run.sh")
s = "use /data/models/x to load"
print("/data/models/x is missing")
try:
    cfg = open("/config/app/settings.json").read()
except FileNotFoundError:
    cfg = ""
x = json.loads('{"a":"/x/y"}')
os.environ.setdefault("HF_HOME", "/data/hf/home")
output_dir = "/data/train/out"
""",
    "run.sh": """
cat "$ROOT/data/x/file"
source "$ROOT/venv/bin/activate"
cd "$1/models/qwen" || exit 1
curl -s http://localhost:8000/v1/models
curl -s "$BASE/v1/models" | jq .
docker run --rm -v /data/in:/models image vllm serve /models/qwen --tokenizer /models/tok
docker exec c bash -c "source /opt/venv/bin/activate && python /app/run.py"
podman run img python /app/run.py --model /models/x
apptainer exec --bind /data:/data img.sif python /app/x.py --model /models/q
ssh host "cd /data/remote && python /data/remote/run.py"
kubectl exec pod -- python /app/run.py
rsync -a /data/none/ host:/data/other/ 2>/dev/null || true
mkdir -p /data/out/logs && cd /data/out/logs
[ -d /data/venv/x ] && source /data/venv/x/bin/activate
if [ -f /opt/conda/etc/profile.d/conda.sh ]; then . /opt/conda/etc/profile.d/conda.sh; fi
for d in /data/models /mnt/models/q; do [ -d "$d" ] && MODEL=$d; done
python -m venv /data/venvs/new && source /data/venvs/new/bin/activate
hf download org/name --local-dir /data/models/new
python run.py --model /data/models/new --output-dir /data/out/o
git clone https://x /data/src/proj && cd /data/src/proj
echo "set /data/models/x"
sed -i 's#/data/old/a#/data/new/b#' "$ROOT/x"
vllm serve org/name --served-model-name /models/served
export PATH=/data/bin/x:$PATH
""",
}


# Paths in a branch: what is decided here, and what only a run decides, after launch scripts of public repositories
# (ULIP in salesforce/LAVIS, run_autonomous.sh of dp-web4/HRM, the model runner of vLLM 0.3.1 in verl).
BRANCHES = {
    "run.py": (
        ('if args.big:\n    A.from_pretrained("/data/gone")', "warning", "; it is used only where args.big"),
        ('M = "/data/gone"\nif args.big:\n    A.from_pretrained(M)', "warning", "; it is used only where args.big"),
        (
            'if a:\n    b()\nelif v == 2:\n    A.load("/data/gone")',
            "warning",
            "; it is used only where not a, and v == 2",
        ),
        ('if not a:\n    b()\nelse:\n    A.load("/data/gone")', "warning", "; it is used only where a"),
        ('A.load("/data/gone" if big else "x")', "warning", "; it is used only where big"),
        (
            'match kind:\n    case "big":\n        A.load("/data/gone")',
            "warning",
            "; it is used only where kind is 'big'",
        ),
        ('if a:\n    A.load("/data/gone")\nA.load("/data/gone/x")', "error", ""),
        ('if a:\n    A.load("/data/gone")\nelse:\n    A.load("/data/gone/x")', "error", ""),
        ('if a or b:\n    A.load("/data/gone")\nelse:\n    A.load("/data/gone/x")', "error", ""),
        (
            'if a:\n    if b:\n        A.load("/data/gone")\n    else:\n        A.load("/data/gone/x")',
            "warning",
            "; it is used only where a, and b",
        ),
        (
            'if a:\n    c()\nelif b:\n    A.load("/data/gone")\nelse:\n    A.load("/data/gone/x")',
            "warning",
            "; it is used only where not a, and b",
        ),
        ('if __name__ == "__main__":\n    A.load("/data/gone")', "error", ""),
        ('import sys\nif sys.platform == "linux":\n    A.load("/data/gone")', "error", ""),
        ('import os\nif not os.path.exists("/data/none/x"):\n    A.load("/data/gone")', "error", ""),
        ('BIG = True\nif BIG:\n    A.load("/data/gone")', "error", ""),
        ('def f(path=None):\n    if path is None:\n        path = "/data/gone"\n    A.load(path)', "error", ""),
        ('p.add_argument("--m")\nif not args.m:\n    A.load("/data/gone")', "error", ""),
        ('import sys\nif sys.platform == "darwin":\n    A.load("/data/gone")', "", ""),
        ('import os\nif os.path.exists("/data/none/x"):\n    A.load("/data/gone")', "", ""),
    ),
    "run.sh": (
        ('if [ "$1" = big ]; then cd /data/gone; fi', "warning", '; it is used only where [ "$1" = big ]'),
        ("if a; then b; elif c; then cd /data/gone; fi", "warning", "; it is used only where ! a, and c"),
        ("if a; then b; else cd /data/gone; fi", "warning", "; it is used only where ! a"),
        ("M=/data/gone\nif a; then vllm serve $M; fi", "warning", "; it is used only where a"),
        ('case "$1" in\n  a|b) cd /data/gone ;;\nesac', "warning", '; it is used only where "$1" is a or b'),
        ("if a; then cd /data/gone; else cd /data/gone/x; fi", "error", ""),
        ("if ! a; then cd /data/gone; else cd /data/gone/x; fi", "error", ""),
        (
            "if a; then b; elif c; then cd /data/gone; else cd /data/gone/x; fi",
            "warning",
            "; it is used only where ! a, and c",
        ),
        ("if [ -d /tmp ]; then cd /data/gone; fi", "error", ""),
        ("if [[ ! -d /data/none/x ]]; then cd /data/gone; fi", "error", ""),
        ("if [ -d /data/none/x ]; then a; else cd /data/gone; fi", "error", ""),
        ('T="${1:-a}"\ncase "$T" in\n  a) cd /data/gone ;;\nesac', "error", ""),
        ('if [ -z "$1" ]; then cd /data/gone; fi', "error", ""),
        (
            'if [ -z "$M" ]; then M=/data/gone; fi\nvllm serve $M',
            "warning",
            '; it is used only where [ -z "$M" ]',
        ),
        ('if [ "$(uname)" = Linux ]; then cd /data/gone; fi', "error", ""),
        ('if [ "$(uname)" = Darwin ]; then cd /data/gone; fi', "", ""),
        ("if [ -d /data/none/x ]; then cd /data/gone; fi", "", ""),
        ("if test -f /data/none/x && a; then cd /data/gone; fi", "", ""),
    ),
}


@pytest.mark.parametrize("name, case", [(n, c) for n, cases in BRANCHES.items() for c in cases])
def test_a_branch_is_decided_or_its_condition_is_said(name: str, case: tuple[str, str, str], tmp_path: Path) -> None:
    text, severity, said = case
    bench = Bench(root=tmp_path)
    runner(bench, f"{text}\n", name)
    found = [(f.severity, f.message.partition("this machine")[2].removeprefix(" (2 such paths)"))
             for f in bench.run("check_runners").findings]  # fmt: skip
    assert found == ([(severity, said)] if severity else [])


@CASES.finds(
    "check_runners",
    "runner-hardcoded-path",
    "of another machine (/home/dp); it is used only where args.big",
    severity="warning",
    subject="scripts/run.py",
)
def branch_with_a_path_of_another_machine(bench: Bench) -> None:
    runner(bench, 'if args.big:\n    MODEL = "/home/dp/zoo/m"\n')


@pytest.mark.parametrize("name", NOT_NEEDED_ANYWHERE)
def test_what_is_no_path_of_this_machine_or_not_needed_is_no_finding(name: str, tmp_path: Path) -> None:
    bench = Bench(root=tmp_path)
    runner(bench, NOT_NEEDED_ANYWHERE[name], name)
    found = bench.run("check_runners").findings
    assert found == ()


# One script each, after launch scripts of public repositories: what is made in another way, what containers and other
# machines are told through a name, and texts that only look like commands and paths.
NOT_NEEDED_EITHER = {
    ".py": (
        'LORA = Path("/data/loras/x")\nHAS_LORA = bool(NAME and LORA.exists())',
        'import modal\nimage = modal.Image.debian_slim().env({"FFMPEG_BIN": "/opt/ff/bin/ffmpeg"})',
        'from modal import App\n@app.function()\ndef f():\n    A.from_pretrained("/models/x/y")',
        'D = {"train_x.json": "/data/x/train.json"}\nfor p in D.values():\n    fetch(p)',
        'import modal\nM = "/root/models/x"\nA.from_pretrained(M)',
        'open("F:/work/x/data.json")',
        'import docker\nclient.containers.run("img", command=["python", "/app/run.py", "--model", "/models/x"])',
        'document_path = "path/*/to/*.txt"\nopen(document_path)',
        'subprocess.run("mkdir -p /data/models/x", shell=True)\nA.from_pretrained("/data/models/x")',
        'build = Path("/data/x/build")\n_create_build_dir(build)\nload(build_directory=build, path=build)',
        'util.exec_command("mkdir -p /data/models/x")\nA.from_pretrained("/data/models/x/y")',
        'os.system("hf download org/n --local-dir /data/models/x")\nA.from_pretrained("/data/models/x")',
        'subprocess.run(["git", "clone", "https://x", "/data/src/x"])\nos.chdir("/data/src/x")',
        'argv = ["docker", "run", "--rm"] + ["img", "python", "/app/x.py"]\nsubprocess.run(argv)',
        'cmd = ["docker", "run"]\ncmd += ["--model", "/models/x"]\ncmd.extend(["a", "/app/x.py"])\nsubprocess.run(cmd)',
        'subprocess.run(["srun", "--container-image", img, "python", "/opt/app/run.py", "--model", "/models/x"])',
        "agent.run(\"Use the tool with endpoint '/api/data' and method 'POST'\")",
        'conn.run("cd /data/x/y && python /data/x/y.py")',
        'load(h5["/model/weights/x"])',
        'if exists("/opt/x/a"):\n    A = 1\nelif os.path.exists("/opt/x/b"):\n    A = 2\nelse:\n    raise OSError',
        'M = "/data/x/y"\nM = "/tmp"\nopen(M)',
        'def f():\n    model_path = "/data/x/y"\n    model_path = "/tmp"\n    open(model_path)',
        'def route(m): return f"/v1/at/{m}/models"\ndef ask(m): path = route(m)\ndef load(path): open(path)',
    ),
    ".sh": (
        "mkdir -p /data/c/scripts/\ncp -r /data/c/scripts/ x",
        'cd "$WORKPATH"/docker_compose/amd',
        'cd $WORKPATH"/docker_compose/amd"',
        'ARGS=" \\\n  --saved_train_data_path /data/o/x \\\n --steps 3"\nCMD="train.py $ARGS"\npython $CMD',
        "pytest -v \\\n  --ignore=tests/patched/lora_kernels \\\n  /workspace/x/tests",
        "srun --container-image=x.sqsh --container-mounts=/fsx:/fsx python /workspace/run.py --model /workspace/m",
        'ARGS=(--container-image $IMG)\nsrun "${ARGS[@]}" python3 /workspace/x/run.py --config-path=/workspace/x/conf',
        'DOCKER="docker run --rm img"\n$DOCKER python /app/x.py --model /m/x',
        'C="cd /app/x && ./run.sh"\nDOCKER=(sudo docker)\n"${DOCKER[@]}" run -d img bash -lc "$C"',
        'run() { docker exec c "$@"; }\nrun python /app/x.py --model /m/x',
        "MODEL=/models/x/q\ndocker run -v models:/models img --model $MODEL",
        "ctr run img c python /app/x.py --model /m/x",
        "aria2c -d /data/m/x -o f https://h\nllama-server -m /data/m/x/f",
        "aws s3 sync s3://b/m /data/m/x --exclude '*'\nvllm serve /data/m/x",
        "cat > compose.yml <<EOF\nservices:\n  a:\n    volumes:\n      - m:/m\n    command: --model /models/x\nEOF",
        'ARGS="--model /data/m/x"\nif [ "$1" = big ]; then python run.py $ARGS; fi',
        'ARGS=(--model /models/x)\ndocker run img "${ARGS[@]}"',
        'DIRS=(/pool/a/x /pool/b/x)\nfor d in "${DIRS[@]}"; do [ -d "$d" ] && M=$d; done',
        "helm upgrade x --set args.model=/models/x",
        "python train.py trainer.output_dir=/data/x/y --model_final_path /data/x/z",
        "unzip m.zip -d /data/m/x\nvllm serve /data/m/x",
        "sudo mount -t nfs h:/e /mnt/nas/x\nvllm serve /mnt/nas/x/m",
        "python convert.py --outfile /data/m/x.gguf\nllama-server -m /data/m/x.gguf",
        "python convert.py --outtype f16 -o /data/m/x.gguf\nllama-server -m /data/m/x.gguf",
        "llama-quantize a.gguf /data/m/x.gguf Q4_K_M\nllama-server -m /data/m/x.gguf",
        "conda create -y -p /opt/envs/x python=3.11\nconda activate /opt/envs/x",
        "bash Miniconda3.sh -b -p /opt/conda/x\nsource /opt/conda/x/bin/activate",
        "jetson-containers run $(autotag llava) python3 -m llava.serve.cli --image-file /data/images/x.jpg",
        "apptainer build /data/new/x.sif x.def",
        "srun --container-image=x bash -c 'cd /workspace/x && python /opt/app/x.py'",
        'ssh host bash -c "cd /data/x/y"',
        "docker exec c python -c \"open('/data/x/y')\"",
        "sh -c 'cd /data/x/y' || true",
        "python -c \"print('/data/x/y')\"",
        "M=/data/x/y\nM=/tmp\nvllm serve $M",
        "export M=/data/x/y\nexport M=/tmp\nvllm serve $M",
        "cat /tmp/*.txt",
        'mkdir "$(dirname "$0")/new"\ncd "$(dirname "$0")/new"',
        'cd /tmp\n. "$(dirname "$0")/none.sh"',
        '[ -f "$(dirname "$0")/x.env" ] && . "$(dirname "$0")/x.env"',
        "command -v /opt/v/x/llama-server >/dev/null && /opt/v/x/llama-server -m m",
    ),
}


@pytest.mark.parametrize("suffix", NOT_NEEDED_EITHER)
def test_what_no_script_of_a_role_needs_is_no_finding(suffix: str, tmp_path: Path) -> None:
    bench = Bench(root=tmp_path)
    runner(bench, "", f"none{suffix}")
    for number, text in enumerate(NOT_NEEDED_EITHER[suffix]):
        (bench.root / "scripts" / f"{number}{suffix}").write_text(f"{text}\n", encoding="utf-8")
    found = bench.run("check_runners").findings
    assert [(f.subject, f.message) for f in found] == []


@CASES.passes("check_runners")
def what_a_runner_makes(bench: Bench) -> None:
    runner(bench, f'OUT = "{bench.root}/results/x"\nopen(OUT, "w")\n')


@CASES.finds("check_runners", "runner-path-missing", "zoo/gone", subject="scripts/run.yaml")
def configuration_that_a_runner_reads(bench: Bench) -> None:
    runner(bench, 'CONFIG = "scripts/run.yaml"\n')
    (bench.root / "scripts/run.yaml").write_text(f"model_path: {bench.root}/zoo/gone\n", encoding="utf-8")


@CASES.passes("check_runners")
def shell_script(bench: Bench) -> None:
    runner(bench, "#!/bin/sh\nexit\n", "run.sh")


@CASES.finds("check_runners", "runner-unverified", "not the syntax", severity="info", subject="scripts/run.py")
def no_syntax(bench: Bench) -> None:
    runner(bench, 'def (: "/home/dp/x/y"\n')


@CASES.finds(
    "check_runners", "runner-hardcoded-path", "line 2: hard-coded path /home/dp/zoo/m", subject="scripts/run.py"
)
def path_of_another_machine(bench: Bench) -> None:
    runner(bench, '#!/usr/bin/env python3\nMODEL = "/home/dp/zoo/m"\n')


@CASES.finds(
    "check_runners",
    "runner-hardcoded-path",
    "hard-coded default path",
    severity="warning",
    subject="scripts/run.py",
)
def default_of_another_machine(bench: Bench) -> None:
    runner(bench, 'import os\nMODEL = os.environ.get("MODEL", "/home/dp/zoo/m")\n')


@CASES.finds(
    "check_runners",
    "script-interpreter-missing",
    "/home/dp/venv/bin/python",
    severity="warning",
    subject="scripts/run.py",
)
def interpreter_of_another_machine(bench: Bench) -> None:
    runner(bench, "#!/home/dp/venv/bin/python\nprint()\n")
    (bench.root / "scripts" / "run.py").chmod(0o755)


@CASES.passes("check_runners")
def interpreter_that_nobody_starts(bench: Bench) -> None:
    runner(bench, "#!/home/dp/venv/bin/python\nprint()\n")


MACHINES = """
[machines.here]
match.hostname = "*"
roles = ["r"]
[machines.sprout]
match.hostname = "no-such-host"
home = "/home/sprout"
roles = ["r"]
"""


@CASES.finds(
    "check_runners",
    "runner-path-here-only",
    "other machines run this script",
    severity="info",
    subject="scripts/run.py",
)
def path_of_this_machine(bench: Bench) -> None:
    write_full(bench.here)
    (bench.root / "scripts").mkdir()
    (bench.root / "scripts" / "run.py").write_text(f'MODEL = "{bench.here}"\n', encoding="utf-8")
    bench.manifest(f'[roles.r]\nmodels = ["m"]\nrunners = ["scripts/*"]\n{ONE_MODEL}{MACHINES}', "m")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: Case, tmp_path: Path) -> None:
    case.hold(tmp_path)
