"""Tokenizers and chat templates as they arrive: refused downloads, pointers, templates that leave the user out."""

from __future__ import annotations

from pathlib import Path

from tests.corpus.builders.case import Bench, Table, edit_json, write_json
from tests.corpus.builders.tensors import PAGE, POINTER

TABLE = Table("field-tokenizers", in_tree=False)
_SILENT = "loads silently; every prompt becomes the same text"
_REFUSED = "Entry not found"
_LOOP = "{% for m in messages %}"
_HUMAN = "{% if m['role'] == 'human' %}{{ m['content'] }}{% endif %}{% endfor %}"


def _sentencepiece(bench: Bench, content: str | bytes) -> None:
    folder = bench.copy()
    (folder / "tokenizer.json").unlink()
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "LlamaTokenizer", "unk_token": "<unk>"})
    raw = content.encode() if isinstance(content, str) else content
    (folder / "tokenizer.model").write_bytes(raw)


@TABLE.error("tokenizer-invalid", source="chatchat-space/Langchain-Chatchat#3103", shows="ValueError")
def sentencepiece_refused(bench: Bench) -> None:
    """A download of a wrong address saved the server's words."""
    _sentencepiece(bench, _REFUSED)


@TABLE.error("tokenizer-invalid", source="ThilinaRajapakse/simpletransformers#873", shows="ValueError")
def sentencepiece_pointer(bench: Bench) -> None:
    """Cloned without Git LFS."""
    _sentencepiece(bench, POINTER)


@TABLE.error("tokenizer-invalid", source="Vision-CAIR/MiniGPT-4#96", shows="ValueError")
def sentencepiece_page(bench: Bench) -> None:
    """A login page."""
    _sentencepiece(bench, PAGE)


@TABLE.error("tokenizer-invalid", source="InternLM/lmdeploy#121", shows="ValueError")
def sentencepiece_error_as_json(bench: Bench) -> None:
    """The hub's refusal."""
    _sentencepiece(bench, '{"error":"Access to model acme/tiny is restricted. You must be authenticated."}')


@TABLE.healthy(source="google/sentencepiece#1054", shows="loads")
def sentencepiece_that_nothing_reads(bench: Bench) -> None:
    """tokenizer.json comes first: what lies under tokenizer.model beside it is never opened."""
    (bench.copy() / "tokenizer.model").write_text(_REFUSED, encoding="utf-8")


@TABLE.error("tokenizer-invalid", source="huggingface/transformers#44313", shows="JSONDecodeError", shows_4="loads")
def special_tokens_refused(bench: Bench) -> None:
    """special_tokens_map.json of a server."""
    (bench.copy() / "special_tokens_map.json").write_text(_REFUSED, encoding="utf-8")


@TABLE.error("tokenizer-invalid", source="huggingface/transformers#44313", shows="JSONDecodeError", shows_4="loads")
def added_tokens_empty(bench: Bench) -> None:
    """The disk was full."""
    (bench.copy() / "added_tokens.json").write_bytes(b"")


@TABLE.error("tokenizer-invalid", source="huggingface/transformers#44313", shows="JSONDecodeError", shows_4="loads")
def added_tokens_pointer(bench: Bench) -> None:
    """`*.json filter=lfs`, and no pull."""
    (bench.copy("mistral") / "added_tokens.json").write_text(POINTER, encoding="utf-8")


@TABLE.error("tokenizer-invalid", source="huggingface/transformers#47110", shows="AttributeError", shows_4="loads")
def special_tokens_a_list(bench: Bench) -> None:
    """JSON, but no object."""
    (bench.copy() / "special_tokens_map.json").write_text("[]", encoding="utf-8")


@TABLE.healthy(source="huggingface/transformers#47110", shows="loads")
def special_tokens_that_nothing_reads(bench: Bench) -> None:
    """tokenizer_config.json lists the added tokens itself, so the older files are not opened."""
    folder = bench.copy()
    edit_json(folder / "tokenizer_config.json", added_tokens_decoder={})
    (folder / "special_tokens_map.json").write_bytes(b"")


@TABLE.error(
    "tokenizer-invalid",
    source="chatchat-space/Langchain-Chatchat#3103",
    shows="Exception: the files of a pair cannot be read",
)
def vocabulary_refused(bench: Bench) -> None:
    """vocab.json of a pair without tokenizer.json is text."""
    (bench.copy("gpt2") / "vocab.json").write_text(_REFUSED, encoding="utf-8")


@TABLE.error(
    "tokenizer-invalid",
    source="ThilinaRajapakse/simpletransformers#873",
    shows="Exception: the files of a pair cannot be read",
    shows_4="loads silently, without its merges",
)
def merges_refused(bench: Bench) -> None:
    """merges.txt of a pair is the server's answer."""
    (bench.copy("gpt2") / "merges.txt").write_text(_REFUSED, encoding="utf-8")


def _template(bench: Bench, text: str, name: str = "llama") -> Path:
    folder = bench.copy(name)
    (folder / "chat_template.jinja").write_text(text, encoding="utf-8")
    return folder


@TABLE.error("tokenizer-invalid", source="axolotl-ai-cloud/axolotl#2151", shows=_SILENT)
def template_pointer(bench: Bench) -> None:
    """A Git LFS pointer is a valid template: it says the same whatever is asked."""
    _template(bench, POINTER)


@TABLE.error("tokenizer-invalid", source="lm-sys/FastChat#2539", shows=_SILENT)
def template_refused(bench: Bench) -> None:
    """The words of a server."""
    _template(bench, _REFUSED, "mistral")


@TABLE.error("tokenizer-invalid", source="lm-sys/FastChat#2539", shows=_SILENT)
def template_page(bench: Bench) -> None:
    """A login page."""
    _template(bench, PAGE)


@TABLE.error("tokenizer-invalid", source="gradients-ai/G.O.D#1294", shows=_SILENT)
def template_empty(bench: Bench) -> None:
    """Nothing in it."""
    _template(bench, "")


@TABLE.error("tokenizer-invalid", source="lm-sys/FastChat#2539", shows=_SILENT)
def template_of_sharegpt(bench: Bench) -> None:
    """`from` and `value`, as training data has them."""
    _template(bench, _LOOP + "{% if m['from'] == 'human' %}{{ m['value'] }}{% endif %}{% endfor %}")


@TABLE.error("tokenizer-invalid", source="lm-sys/FastChat#2539", shows=_SILENT)
def template_for_humans(bench: Bench) -> None:
    """A role that no session has."""
    _template(bench, _LOOP + _HUMAN)


@TABLE.error("tokenizer-invalid", source="structuredllm/syncode#30", shows="loads; TemplateSyntaxError when asked")
def template_cut(bench: Bench) -> None:
    """Cut in the middle."""
    _template(bench, _LOOP + "{% if m['role'] == 'user' %}{{ m['content'] }}")


@TABLE.error("tokenizer-invalid", source="gradients-ai/G.O.D#1294", shows=_SILENT)
def template_in_config_of_another_field(bench: Bench) -> None:
    """Within tokenizer_config.json, and blind to what is said."""
    folder = bench.copy()
    (folder / "chat_template.jinja").unlink()
    edit_json(folder / "tokenizer_config.json", chat_template="<|user|>{{ prompt }}<|assistant|>")


@TABLE.healthy(source="axolotl-ai-cloud/axolotl#2151", shows="loads")
def template_with_generation_marks(bench: Bench) -> None:
    """The tag that marks what is trained on."""
    body = (
        "{% if m['role'] == 'user' %}{{ m['content'] }}{% else %}{% generation %}{{ m['content'] }}{% endgeneration %}"
    )
    _template(bench, _LOOP + body + "{% endif %}{% endfor %}")


@TABLE.healthy(source="axolotl-ai-cloud/axolotl#2151", shows="loads")
def template_of_parts(bench: Bench) -> None:
    """For models that see: content is a list of parts."""
    parts = "{% for p in m['content'] %}{% if p['type'] == 'text' %}{{ p['text'] }}{% endif %}{% endfor %}"
    _template(bench, _LOOP + parts + "{% endfor %}")


@TABLE.healthy(source="lm-sys/FastChat#2539", shows="loads")
def template_that_demands_turns(bench: Bench) -> None:
    """Roles must alternate, else it raises."""
    rule = "{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('alternate') }}{% endif %}"
    _template(bench, _LOOP + rule + "{{ m['content'] }}{% endfor %}")


@TABLE.healthy(source="lm-sys/FastChat#2539", shows="loads")
def template_for_other_roles(bench: Bench) -> None:
    """A reranker is asked with a query and a document, never as a user."""
    _template(bench, _LOOP + "{% if m['role'] == 'query' %}{{ m['content'] }}{% endif %}{% endfor %}")


@TABLE.healthy(source="hiyouga/LlamaFactory#9699", shows="loads")
def templates_by_name(bench: Bench) -> None:
    """A list of templates, of which one is the default."""
    folder = bench.copy()
    (folder / "chat_template.jinja").unlink()
    text = _LOOP + "{{ m['content'] }}{% endfor %}"
    named = [{"name": "default", "template": text}, {"name": "tool_use", "template": "tools"}]
    edit_json(folder / "tokenizer_config.json", chat_template=named)


@TABLE.healthy(
    source="huggingface/transformers#47553",
    shows="loads",
    shows_4="ValueError: Tokenizer class TokenizersBackend does not exist",
)
def saved_by_version_5(bench: Bench) -> None:
    """Names and forms of transformers 5, for a session that has it."""
    config = bench.copy() / "tokenizer_config.json"
    edit_json(config, tokenizer_class="TokenizersBackend", extra_special_tokens=["<s>"])
