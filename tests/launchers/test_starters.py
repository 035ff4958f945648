from pathlib import Path

from sage_doctor.launchers.code import read_code
from sage_doctor.launchers.starters import homes_in, read_starters

UNIT = "[Service]\nUser={0}\nEnvironment=SAGE_MACHINE={0}\nExecStart=/home/{0}/v/bin/python3 -m sage.gateway --port 1\n"
PLIST = (
    "<plist><dict><key>ProgramArguments</key><array><string>/bin/bash</string>"
    "<string>/Users/me/SAGE/scripts/mac_raising.sh</string></array>\n"
    "<key>SAGE_MACHINE</key>\n<string>mac</string></dict></plist>"
)
FILES = {
    "sage/gateway/__main__.py": "",
    "sage/run.py": "",
    "sage/serve.py": "",
    "other/run.py": "",
    "more/sage-nano.service": "[Service]\nUser=nano\nExecStart=/bin/true\n",
    "more/sage-agx.service": "[Service]\nUser=me\nExecStart=/bin/true\n",
    "units/sage-thor.service": UNIT.format("thor"),
    "units/sage-sprout.service": UNIT.format("sprout").replace("Environment=SAGE_MACHINE=sprout\n", ""),
    "units/mac.plist": PLIST,
    "scripts/mac_raising.sh": "#!/bin/bash\ncd /Users/me/SAGE && python3 -u sage/run.py -c\n",
    "scripts/thor_raising.sh": 'P=/home/dp/py/bin/python3\nMODEL="${MODEL:-/home/dp/zoo/m}"\n'
    '$P "$DIR/sage/serve.py" \\\n  --model "$MODEL" --port 1 2>&1 | tee x.log\n',
    "scripts/start_it.sh": "python3 sage/run.py --machine thor --model=$UNKNOWN\n",
    "scripts/stop_it.sh": "# python3 sage/run.py\necho 'python3 sage/gone.py'\n",
    "archive/old.sh": "python3 sage/run.py\n",
}


def test_what_starts_what_where_and_with_which_model(tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    found = {
        str(s.path.relative_to(tmp_path)): (
            s.machine,
            [(str(p.relative_to(tmp_path)), dict(o)) for p, o in s.started],
            s.python,
        )
        for s in read_starters(read_code([tmp_path]))
    }
    # Two units that start nothing of the project: one is named after its user, so the word is a machine's.
    for name in ("nano", "agx"):
        assert found.pop(f"more/sage-{name}.service") == (name, [], "")
    gateway: list[tuple[str, dict[str, str]]] = [("sage/gateway/__main__.py", {})]
    assert found == {
        "units/sage-thor.service": ("thor", gateway, "/home/thor/v/bin/python3"),
        "units/sage-sprout.service": ("sprout", gateway, "/home/sprout/v/bin/python3"),
        "units/mac.plist": ("mac", [("sage/run.py", {})], ""),
        "scripts/mac_raising.sh": ("mac", [("sage/run.py", {})], ""),
        "scripts/thor_raising.sh": (
            "thor",
            [("sage/serve.py", {"model": "/home/dp/zoo/m"})],
            "/home/dp/py/bin/python3",
        ),
        "scripts/start_it.sh": ("thor", [("sage/run.py", {})], ""),
    }


def test_homes_are_found_with_their_line_and_examples_are_nobodys() -> None:
    text = (
        "#!/bin/sh\ncd /home/dp/x\nls /Users/user/x /srv/home/nobody/x ~/home/me/y https://a.org/home/example.com/x\n"
    )
    assert homes_in(text + "cd /home/dp/y /home/a.b.org/x") == [("/home/dp", 2)]
