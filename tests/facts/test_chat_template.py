from pathlib import Path

import pytest

from sage_doctor.facts.chat_template import ChatTemplate, read_chat_template, template_fault
from sage_doctor.readers.tree import read_tree

LOOP = "{% for m in messages %}"
END = "{% endfor %}"


def fault(text: str) -> str:
    found = template_fault(ChatTemplate(file="f", text=text), {"bos_token": {"content": "<s>"}}, None)
    return found.message if found else ""


@pytest.mark.parametrize(
    "text",
    [
        LOOP + "{{ m['content'] }}" + END,
        LOOP + "{{ m.content[0].text }}" + END,
        LOOP + "{% generation %}{{ m['content'] }}{% endgeneration %}" + END,
        LOOP + "{{ raise_exception('no') }}{{ m['value'] }}" + END,  # it refuses: perhaps it asks for more
        "{{ messages | tojson }}",
        "{{ '}' }}{# {{ #}{{ messages[0]['content'] }}",
    ],
)
def test_what_a_user_says_gets_through(text: str) -> None:
    assert fault(text) == ""


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "empty"),
        ("Entry not found", "not a chat template ('Entry not found')"),
        ("{# messages #}Hello", "not a chat template"),
        ("{{" * 400_000, "not a chat template"),
        (LOOP + "{{ m['content'] }}", "not valid Jinja"),
        (LOOP + "{{ m['value'] }}" + END, "leaves out what a user says"),
        (LOOP + "{% if m['role'] == 'human' %}{{ m['content'] }}{% endif %}" + END, "writes those of 'human'"),
        (LOOP + "{% if m['role'] == 'assistant' %}{{ m['content'] }}{% endif %}" + END, "leaves out what a user says"),
        (
            "{% for a in range(99999) %}{% for b in range(99999) %}{{ messages[9] }}{% endfor %}{% endfor %}",
            "takes more",
        ),
    ],
)
def test_what_is_wrong(text: str, message: str) -> None:
    assert message in fault(text)


def test_where_a_template_is(tmp_path: Path) -> None:
    tree = read_tree(tmp_path)
    assert read_chat_template(tree, {}) is None
    named = [{"name": "default", "template": "a"}, {"name": "tool_use", "template": "b"}]
    assert read_chat_template(tree, {"chat_template": named}) == ChatTemplate(file="tokenizer_config.json", text="a")
    broken = read_chat_template(tree, {"chat_template": [{"name": "default"}]})
    assert broken is not None
    assert "lack name or template" in broken.problem
    (tmp_path / "chat_template.json").write_text('{"chat_template": "c"}')
    assert read_chat_template(read_tree(tmp_path), {}) == ChatTemplate(file="chat_template.json", text="c")
    (tmp_path / "chat_template.jinja").write_bytes(b"\xff")
    bad = read_chat_template(read_tree(tmp_path), {"chat_template": "a"})
    assert bad is not None
    assert bad.problem == "not UTF-8 text"
