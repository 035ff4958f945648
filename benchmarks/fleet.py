"""`fleet check` of three hundred hosts over local connections: seconds, and the memory of all its processes.

python -m benchmarks.fleet [HOSTS]. Not part of `make bench`: Ansible, which makes a process for each host, is what it
measures.
Each "host" is this machine, and its doctor a program that prints a recorded report at once.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sage_doctor.render import render
from tests.render import sample_reports

MEGABYTE = 1_000_000


def main(hosts: int) -> None:
    """Run once and print the figures."""
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        (root / "report.json").write_text(render(sample_reports.healthy(), "json"))
        doctor = root / "doctor"
        doctor.write_text(f"#!/bin/sh\nexec cat {root}/report.json\n")
        doctor.chmod(0o755)
        words = f"ansible_connection=local sage_doctor_command={doctor}"
        (root / "hosts.ini").write_text("".join(f"host{n:03} {words}\n" for n in range(hosts)))
        command = [sys.executable, "-m", "sage_doctor", "fleet", "check", "-i", str(root / "hosts.ini")]
        began = time.monotonic()
        done = subprocess.run(
            [*command, "-j", "20", "-f", "json"], capture_output=True, check=False, env=dict(os.environ)
        )
        seconds = time.monotonic() - began
        answer = json.loads(done.stdout)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        print(f"{len(answer['machines'])} of {hosts} hosts answered in {seconds:.1f} s, exit code {done.returncode}")
        largest = used.ru_maxrss * 1024 / MEGABYTE
        print(f"{used.ru_utime + used.ru_stime:.1f} s of processor time, largest process {largest:.0f} MB")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
