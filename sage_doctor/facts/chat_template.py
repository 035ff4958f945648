"""The chat template of a tokenizer: where it is kept, and whether what a user says gets through it.

Most templates can be judged by looking; one that looks unusual is rendered, in a child with a deadline.
"""

from __future__ import annotations

import json
import re
import signal
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sage_doctor.readers.json_object import read_json_object
from sage_doctor.readers.tree import Tree
from sage_doctor.system.child import run
from sage_doctor.system.frozen import frozen
from sage_doctor.system.path_info import UnreadableFile, read_start
from sage_doctor.text import printable

FILE = "chat_template.jinja"
_MOST_BYTES = 1 << 20
_CPU_S, _WALL_S, _MOST_MEMORY = 2, 30.0, 1_000_000_000
_PROGRAM = Path(__file__).with_name("template_child.py")
_MARKER = "QmlyZHMgc2luZw"
_CLOSING = {"{{": "}}", "{%": "%}", "{#": "#}"}
_STATEMENT = re.compile(r"\{%[-+]?\s*(end)?(if|for|macro|filter|call|generation)\b")
_ROLES = re.compile(r"""role\b['"]?\]?\s*(?:==|in)\s*[\[(]?\s*['"](\w{1,40})['"]""")
_QUOTED = re.compile(r"""'[^']*'|"[^"]*\"""")
_FILTER = re.compile(r"\|\s*(\w+)")
# Filters of jinja2 that templates often have; one with another is rendered.
_FILTERS = frozenset(
    {
        "default", "first", "int", "items", "join", "last", "length", "list", "lower", "map", "rejectattr", "replace",
        "selectattr", "string", "tojson", "trim", "upper",
    }
)  # fmt: skip
# What other programs call the user. A template for them gets nothing from a session that speaks as transformers does.
_STANDARD = frozenset({"assistant", "system", "tool", "developer"})
_USERS = frozenset({"human", "Human", "User", "USER", "prompter", "instruction"})


@frozen
class ChatTemplate:
    """The template a session would use, and the file that holds it. `problem` says why the file gives none."""

    file: str
    text: str = ""
    problem: str = ""
    line: int = 0


@frozen
class TemplateFault:
    """What is wrong with a template. `unusual`: other roles get through it, so that it may be meant for these."""

    message: str
    line: int = 0
    unusual: bool = False


def read_chat_template(tree: Tree, config: Mapping[str, Any]) -> ChatTemplate | None:
    """Return the template by which a session would write a conversation; None where there is none.

    `config` is tokenizer_config.json. A file of its own comes before it; `chat_template.json` is read by processors.
    """
    if tree.has(FILE):
        try:
            raw = read_start(tree.path / FILE, _MOST_BYTES)
            return ChatTemplate(file=FILE, text=raw.decode("utf-8"))
        except UnreadableFile as error:
            return ChatTemplate(file=FILE, problem=str(error))
        except UnicodeDecodeError:
            return ChatTemplate(file=FILE, problem="not UTF-8 text")
    stated = config.get("chat_template")
    if stated:
        return _from_config("tokenizer_config.json", stated)
    if tree.has("chat_template.json"):
        file = read_json_object(tree.path / "chat_template.json", most=_MOST_BYTES)
        if file.problem:
            return ChatTemplate(file="chat_template.json", problem=file.problem, line=file.line)
        return _from_config("chat_template.json", (file.value or {}).get("chat_template"))
    return None


def _from_config(file: str, stated: Any) -> ChatTemplate | None:
    if isinstance(stated, str):
        return ChatTemplate(file=file, text=stated)
    if isinstance(stated, list):
        if not all(isinstance(t, dict) and "name" in t and isinstance(t.get("template"), str) for t in stated):
            return ChatTemplate(file=file, problem="its chat_template is a list whose entries lack name or template")
        stated = {str(t["name"]): t["template"] for t in stated}
    if isinstance(stated, dict):
        default = stated.get("default")
        return ChatTemplate(file=file, text=default) if isinstance(default, str) else None
    return ChatTemplate(file=file, problem="its chat_template is neither a text nor a list") if stated else None


def template_fault(template: ChatTemplate, config: Mapping[str, Any], python: Path | None) -> TemplateFault | None:
    """Return what is wrong with a template or with the file that should hold it.

    None where what a user says gets through, or where that cannot be told. `config` is tokenizer_config.json, for the
    special tokens; `python` the sessions' interpreter, None for our own.
    """
    if template.problem:
        return TemplateFault(message=template.problem, line=template.line)
    text = template.text
    tags, closed = _tags(text)
    if not text.strip():
        return TemplateFault(message="empty: every conversation becomes nothing")
    if not any("messages" in t for t in tags):
        start = printable(text.strip().splitlines()[0], limit=60)
        return TemplateFault(
            message=f"not a chat template ({start!r}): it never uses the messages, so what a user says is left out"
        )
    return None if closed and _is_plain(text, tags) else _rendered(text, config, python)


def _tags(text: str) -> tuple[list[str], bool]:
    """Return what stands between the braces of a template, and whether all are closed; in linear time."""
    tags: list[str] = []
    place = 0
    for opening in re.finditer(r"\{[{%#]", text):
        if opening.start() < place:
            continue
        end = text.find(_CLOSING[opening[0]], opening.end())
        if end < 0:
            return tags, False
        if opening[0] != "{#":
            tags.append(text[opening.end() : end])
        place = end + 2
    return tags, True


def _is_plain(text: str, tags: list[str]) -> bool:
    """Return whether a template looks as they all do: balanced, with the content of messages, also of users."""
    counts = Counter(_STATEMENT.findall(text))
    balanced = all(n == counts[("end" if not end else "", word)] for (end, word), n in counts.items())
    inside = " ".join(tags)
    roles = _ROLES.findall(inside)
    known = _FILTERS.issuperset(_FILTER.findall(_QUOTED.sub("", inside)))
    return balanced and known and "content" in inside and (not roles or "user" in roles)


def _rendered(text: str, config: Mapping[str, Any], python: Path | None) -> TemplateFault | None:
    special = {k: _token(v) for k, v in config.items() if k.endswith("_token")}
    others = sorted(set(_ROLES.findall(text)) - {"user"})[:20]
    question = json.dumps([text, special, _MARKER, ["user", *others], [_CPU_S, _MOST_MEMORY]]).encode()
    for interpreter in dict.fromkeys((str(python or sys.executable), sys.executable)):
        done = run([interpreter, "-I", "-W", "ignore", str(_PROGRAM)], timeout_s=_WALL_S, cwd=Path("/"), ask=question)
        if done is None or done.timed_out:
            return None
        if done.code in (-signal.SIGXCPU, -signal.SIGKILL):
            return TemplateFault(message=f"rendering it takes more than {_CPU_S} s")
        try:
            answer = json.loads(done.out)
        except ValueError:
            continue
        if "unavailable" not in answer:
            return _judged(answer)
    return None


def _token(value: Any) -> str:
    return str(value.get("content", "")) if isinstance(value, Mapping) else str(value or "")


def _judged(answer: Mapping[str, Any]) -> TemplateFault | None:
    if "syntax" in answer:
        line = answer.get("line")
        return TemplateFault(
            message=f"not valid Jinja: {printable(str(answer['syntax']), limit=120)}",
            line=line if isinstance(line, int) else 0,
        )
    through = answer.get("through", {})
    if through.get("user") is not False:  # written, or refused: a template may ask for more than a plain message
        return None
    others = [role for role, passes in through.items() if passes and role not in _STANDARD]
    if not others:
        return TemplateFault(message="it leaves out what a user says: rendered with a message, the text has none of it")
    return TemplateFault(
        message=f"it leaves out messages of the role 'user' and writes those of {', '.join(map(repr, others[:3]))}",
        unusual=not _USERS & set(others),
    )
