"""Renders one chat template with a message in it. Run as a program, never imported.

A template from a model directory may run for ever, or take all memory: this process has little of both, and jinja2's
sandbox, as transformers uses it. On standard input it gets `[template, special tokens, marker, roles, [CPU seconds, bytes]]`
as JSON. It prints one object: `unavailable`, `syntax` (what is wrong and its line), or `through`: for each role whether
a message of it is in the text, null where the template refuses every form of it.
"""

import contextlib
import json
import resource
import sys


def main() -> None:
    """Answer one question and end."""
    template, special, marker, roles, limits = json.load(sys.stdin)
    try:
        import jinja2
        import jinja2.ext
        import jinja2.sandbox
    except Exception as error:  # noqa: BLE001 - a broken installation may fail in any way
        print(json.dumps({"unavailable": str(error)}))
        return
    for kind, most in zip((resource.RLIMIT_CPU, resource.RLIMIT_AS), limits):  # noqa: B905 - Python 3.9 has no strict
        with contextlib.suppress(ValueError, OSError):  # a system may not have this one
            resource.setrlimit(kind, (most, most))

    class Generation(jinja2.ext.Extension):  # type: ignore[misc,unused-ignore]
        """The tag around what an assistant says: its body, as it is."""

        tags = {"generation"}

        def parse(self, parser):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
            line = next(parser.stream).lineno
            body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
            return jinja2.nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

        def _body(self, caller):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
            return caller()

    def refuse(message):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        raise jinja2.exceptions.TemplateError(message)

    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = lambda value, **_: json.dumps(value, ensure_ascii=False)
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = lambda form: "1 Jan 2026"
    try:
        compiled = environment.from_string(template)
    except jinja2.exceptions.TemplateSyntaxError as error:
        print(json.dumps({"syntax": str(error.message)[:300], "line": error.lineno}))
        return
    except Exception as error:  # noqa: BLE001 - nested without end, an unknown filter, …
        print(json.dumps({"syntax": str(error)[:300], "line": 0}))
        return
    through = {}
    for role in roles:
        through[role] = None
        parts = [{"type": "text", "text": marker}]
        for content in (marker, parts):
            for before in ([], [{"role": "system", "content": "Be brief."}]):
                given = {**special, "messages": [*before, {"role": role, "content": content}]}
                with contextlib.suppress(Exception):
                    text = compiled.render(**given, tools=None, documents=None, add_generation_prompt=True)
                    through[role] = bool(through[role]) or marker in text
    print(json.dumps({"through": through}))


main()
