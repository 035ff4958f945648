"""All measurements, one after the other: `python -m benchmarks`, or `python -m benchmarks static_overhead`."""

from __future__ import annotations

import importlib
import sys

NAMES = (
    "static_overhead",
    "many_models",
    "large_tree",
    "generate_overhead",
    "gate",
    "machine_paths",
    "renderers",
    "doubling",
)


def main(names: list[str]) -> int:
    """Run the named benchmarks, all by default. Returns 1 where a goal was missed, 2 for an unknown name."""
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are {', '.join(NAMES)}", file=sys.stderr)
        return 2
    missed = []
    for name in names or NAMES:
        module = importlib.import_module(f"benchmarks.{name}")
        print(f"{name}: {(module.__doc__ or '').partition(chr(10))[0]}", flush=True)
        if not module.main():
            missed.append(name)
    print(f"goals missed: {', '.join(missed) or 'none'}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
