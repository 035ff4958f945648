"""Words of commands that are no paths of this machine: what ssh and docker pass on, what sed and grep look for."""

from __future__ import annotations

from pathlib import Path

import pytest

from sage_doctor.paths.find import read_script
from sage_doctor.paths.find.path_map import build_path_map


@pytest.mark.parametrize(
    "text, used",
    [
        ('ssh gpu "cd /home/sprout/x && ./run.sh"', []),
        ("ssh -i /home/sprout/.ssh/key gpu ls /home/sprout/x", ["/home/sprout/.ssh/key"]),
        ("docker run -v /home/sprout/m:/home/sprout/m vllm --model /home/sprout/m/q", ["/home/sprout/m"]),
        ("docker run --volume=/home/sprout/m:/root/.cache x", ["/home/sprout/m"]),
        ("docker run --mount type=bind,source=/home/sprout/m,target=/home/sprout/n x", ["/home/sprout/m"]),
        ("sudo docker exec -it c python /home/sprout/x.py", []),
        ("docker compose -f /home/sprout/compose.yml up", ["/home/sprout/compose.yml"]),
        ("docker build -t x /home/sprout/ctx", ["/home/sprout/ctx"]),
        ("scp gpu:/home/sprout/a /home/sprout/b", ["/home/sprout/b"]),
        ("rsync -av /home/sprout/a gpu:/home/sprout/b", ["/home/sprout/a"]),
        ("sed -i 's|/home/sprout/a|/home/dp/a|g' /home/sprout/conf", ["/home/sprout/conf"]),
        ("grep -rn /home/sprout/a /home/sprout/src", ["/home/sprout/src"]),
        ("python run.py --model /home/sprout/m", ["/home/sprout/m"]),
        ("export P=/home/sprout/a:/home/sprout/b", ["/home/sprout/a", "/home/sprout/b"]),
    ],
)
def test_what_is_a_path_of_this_machine(text: str, used: list[str], tmp_path: Path) -> None:
    (tmp_path / "a.sh").write_text(f"{text}\n")
    known = build_path_map(home=tmp_path / "me", own_roots=[], other_roots=["/home/sprout"])
    script = read_script(tmp_path / "a.sh", known, directory=tmp_path)
    assert [r.text for r in script.references if r.used] == used
