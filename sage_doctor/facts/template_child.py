"""Renders one chat template with a message in it. Run as a program, never imported.

A template from a model directory may run for ever, or take all memory: this process has little of both, and jinja2's
sandbox, as transformers uses it. On standard input it gets `[template, special tokens, marker, roles, [CPU seconds,
bytes]]` as JSON. It prints one object: `unavailable`, `syntax` (what is wrong, and its `line`), or `through`: for each
role whether a message of it is in the text, null where the template refuses every form of it.
"""

from __future__ import annotations

import contextlib
import json
import resource
import sys
from typing import Any


def environment() -> Any:
    """Return what transformers compiles its templates with. Raises whatever a missing jinja2 raises."""
    import jinja2.ext  # noqa: PLC0415 - this interpreter may not have it
    import jinja2.sandbox  # noqa: PLC0415

    class Generation(jinja2.ext.Extension):
        """The tag around what an assistant says: its body, as it is."""

        tags = {"generation"}  # noqa: RUF012 - as jinja2 declares it

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return jinja2.nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

        def _body(self, caller: Any) -> Any:
            return caller()

    def refuse(message: str) -> None:
        raise jinja2.exceptions.TemplateError(message)

    made = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )
    made.filters["tojson"] = lambda value, **_: json.dumps(value, ensure_ascii=False)
    made.globals["raise_exception"] = refuse
    made.globals["strftime_now"] = lambda _: "1 Jan 2026"
    return made


def forms(role: str, marker: str) -> list[list[dict[str, Any]]]:
    """Return the conversations in which a session may say something: as text or parts, with a system prompt or not."""
    contents: tuple[Any, ...] = (marker, [{"type": "text", "text": marker}])
    system = {"role": "system", "content": "Be brief."}
    return [[*before, {"role": role, "content": c}] for c in contents for before in ([], [system])]


def answer(template: str, special: dict[str, str], marker: str, roles: list[str]) -> dict[str, Any]:
    """Return what became of a message of each role."""
    try:
        made = environment()
    except Exception as error:  # noqa: BLE001 - a broken installation may fail in any way
        return {"unavailable": str(error)}
    try:
        compiled = made.from_string(template)
    except MemoryError:  # that of this process is small
        return {"through": {}}
    except Exception as error:  # noqa: BLE001 - wrong syntax, nested without end, a filter that is unknown, …
        return {"syntax": str(error)[:300], "line": getattr(error, "lineno", 0)}
    through: dict[str, bool | None] = dict.fromkeys(roles)
    for role in roles:
        for messages in forms(role, marker):
            given = {**special, "messages": messages, "tools": None, "documents": None, "add_generation_prompt": True}
            with contextlib.suppress(Exception):
                through[role] = bool(through[role]) or marker in compiled.render(**given)
    return {"through": through}


def main() -> None:
    """Answer one question and end."""
    *question, limits = json.load(sys.stdin)
    for kind, most in zip((resource.RLIMIT_CPU, resource.RLIMIT_AS), limits, strict=True):
        with contextlib.suppress(ValueError, OSError):  # a system may not have this one
            resource.setrlimit(kind, (most, most))
    sys.stdout.write(json.dumps(answer(*question)) + "\n")


main()
