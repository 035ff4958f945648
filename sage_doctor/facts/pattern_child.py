"""Matches the regular expressions of one adapter against module names. Run as a program, never imported.

Expressions from a model directory may take for ever, or all memory: this process has little of both, and its parent
ends it. On standard input it gets `[names, [[method, expressions], …], [CPU seconds, bytes]]` as JSON. For each
expression, in order, it prints one line: the numbers of the names that no earlier expression of its list matched and
this one does, each with what its group `idx` holds; `null` for an expression that cannot be compiled.
"""

import contextlib
import json
import re
import resource
import sys


def main() -> None:
    """Answer one question and end."""
    names, questions, limits = json.load(sys.stdin)
    for kind, most in zip((resource.RLIMIT_CPU, resource.RLIMIT_AS), limits, strict=True):
        with contextlib.suppress(ValueError, OSError):  # a system may not have this one
            resource.setrlimit(kind, (most, most))
    for method, expressions in questions:
        left = list(range(len(names)))
        for expression in expressions:
            found = None
            with contextlib.suppress(re.error, RecursionError, OverflowError):
                match = getattr(re.compile(expression), method)
                found = {n: m.groupdict().get("idx") for n in left if (m := match(names[n]))}
            left = [n for n in left if n not in found] if found else left
            sys.stdout.write(json.dumps(found if found is None else list(found.items())) + "\n")
            sys.stdout.flush()


main()
