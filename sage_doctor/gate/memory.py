"""Whether enough memory is free for a role's models: the one thing that no file shows."""

from __future__ import annotations

from pathlib import Path

from sage_doctor.system.memory import read_memory


def is_memory_short(needed: int, root: Path = Path("/")) -> bool:
    """Return whether less than `needed` bytes are free now, swap and control groups considered."""
    if not needed or not Path(root, "proc/meminfo").exists():
        return False
    memory = read_memory(root)
    free = memory.effective_available
    return free is not None and needed > free + (memory.swap_free or 0)
