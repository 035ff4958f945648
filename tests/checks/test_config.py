"""`config.json`."""

import importlib.util
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.model_directories import (
    MODEL,
    POINTER,
    VOCABULARY,
    WEIGHTS,
    WIDTH,
    edit_json,
    write_adapter,
    write_full,
    write_json,
)

from .cases import SESSION, Bench, Case, Cases

SPEC = importlib.util.find_spec("transformers")
LIBRARY = (Path(str(SPEC.origin)).parents[1],) if SPEC is not None else ()
CASES = Cases()


def with_transformers(bench: Bench, *types: str) -> None:
    """Let the sessions' interpreter have a transformers that knows these model types."""
    place = bench.root / "site-packages"
    auto = place / "transformers" / "models" / "auto"
    auto.mkdir(parents=True)
    names = ", ".join(f'("{t}", "{t.title()}Config")' for t in types)
    for file in ("configuration_auto.py", "auto_mappings.py"):
        (auto / file).write_text(f"CONFIG_MAPPING_NAMES = OrderedDict([{names}])\n")
    bench.session = replace(SESSION, site_packages=(place,))


@CASES.passes("check_config")
@CASES.passes("check_config_possible")
@CASES.passes("check_custom_code")
@CASES.passes("check_config_fits_weights")
@CASES.skips("check_config_type", "could not be read")
def whole(bench: Bench) -> None:
    write_full(bench.here)


@CASES.passes("check_config_type")
def known_type(bench: Bench) -> None:
    write_full(bench.here)
    with_transformers(bench, "gpt2", "llama")


@CASES.finds("check_config", "config-missing", "no config.json")
def gone(bench: Bench) -> None:
    (write_full(bench.here) / "config.json").unlink()


@CASES.finds("check_config", "config-invalid", "config.json:2: not valid JSON")
def cut_off(bench: Bench) -> None:
    (write_full(bench.here) / "config.json").write_text('{\n"model_type": "lla')


@CASES.finds("check_config", "config-invalid", "byte-order mark")
def byte_order_mark(bench: Bench) -> None:
    (write_full(bench.here) / "config.json").write_bytes(b"\xef\xbb\xbf{}")


@CASES.finds("check_config", "config-invalid", "Git LFS pointer")
def pointer(bench: Bench) -> None:
    (write_full(bench.here) / "config.json").write_text(POINTER)


@CASES.finds("check_config_possible", "config-invalid", "cannot be divided by 3")
def heads_that_do_not_divide(bench: Bench) -> None:
    write_full(bench.here, num_attention_heads=3, num_key_value_heads=3)


@CASES.finds("check_config_type", "config-type-unknown", "tomorrow is unknown")
def type_of_tomorrow(bench: Bench) -> None:
    write_full(bench.here, model_type="tomorrow")
    with_transformers(bench, "gpt2", "llama")


@CASES.finds("check_config_type", "config-type-unknown", "has no model_type")
def no_type(bench: Bench) -> None:
    edit_json(write_full(bench.here) / "config.json", drop=("model_type",))
    with_transformers(bench, "gpt2", "llama")


@CASES.passes("check_custom_code")
def adapter_without_code(bench: Bench) -> None:
    write_adapter(bench.here, "base")


@CASES.finds("check_custom_code", "custom-code", "AutoModel", severity="warning")
def code_by_auto_map(bench: Bench) -> None:
    write_full(bench.here, auto_map={"AutoModel": "modeling.Mine"})


@CASES.finds("check_custom_code", "custom-code", "modeling_mine.py", severity="info")
def code_that_nothing_names(bench: Bench) -> None:
    (write_full(bench.here) / "modeling_mine.py").write_text("raise SystemExit\n")


@CASES.finds("check_custom_code", "custom-code", "tokenization_mine.py", severity="warning")
def code_of_the_tokenizer(bench: Bench) -> None:
    folder = write_full(bench.here)
    (folder / "tokenization_mine.py").write_text("raise SystemExit\n")
    edit_json(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["tokenization_mine.Mine", None]})


@CASES.finds("check_config_fits_weights", "weights-shape-mismatch", "vocab_size 99")
def another_vocabulary(bench: Bench) -> None:
    write_full(bench.here, vocab_size=99)


@CASES.finds("check_config_fits_weights", "weights-shape-mismatch", f"is {WIDTH} wide")
def another_width(bench: Bench) -> None:
    write_full(bench.here, hidden_size=2 * WIDTH)


def classifier(bench: Bench, labels: int) -> None:
    write_full(
        bench.here,
        tensors={**WEIGHTS, "score.weight": (3, WIDTH)},
        architectures=["LlamaForSequenceClassification"],
        id2label={str(n): f"L{n}" for n in range(labels)},
    )


@CASES.finds("check_config_fits_weights", "weights-shape-mismatch", "2 labels (id2label), but score.weight has 3 rows")
def labels_of_another_task(bench: Bench) -> None:
    classifier(bench, 2)


@CASES.passes("check_config_fits_weights")
def a_row_for_each_label(bench: Bench) -> None:
    classifier(bench, 3)


@CASES.passes("check_config_fits_weights")
def rows_for_text_and_for_sound(bench: Bench) -> None:
    rows = VOCABULARY + 2 * 4 + 1
    tensors = {n: (rows, *s[1:]) if "embed_tokens" in n else s for n, s in WEIGHTS.items()}
    write_full(bench.here, tensors=tensors, num_codebooks=2, codebook_vocab_size=4)


@CASES.finds("check_config_fits_weights", "weights-shape-mismatch", "hold 1")
def more_layers(bench: Bench) -> None:
    write_full(bench.here, num_hidden_layers=2)


@CASES.skips("check_config_fits_weights", "no header")
def pickle_alone(bench: Bench) -> None:
    place = write_full(bench.here)
    (place / MODEL).rename(place / "pytorch_model.bin")


@CASES.passes("check_config_fits_weights")
def quantized(bench: Bench) -> None:
    write_full(bench.here, vocab_size=VOCABULARY + 1, quantization_config={"bits": 4})


def of_its_own_code(bench: Bench, reference: str) -> Path:
    with_transformers(bench, "llama")
    return write_full(bench.here, model_type="homegrown", auto_map={"AutoModel": reference})


@CASES.skips("check_custom_code_present", "no code of its own")
def no_code(bench: Bench) -> None:
    write_full(bench.here)


@CASES.finds("check_config_possible", "config-invalid", "tie_word_embeddings is 'false', where true or false")
def tied_by_a_text(bench: Bench) -> None:
    write_full(bench.here, tie_word_embeddings="false")


def with_its_own(bench: Bench, name: str, **values: object) -> None:
    bench.session = replace(SESSION, site_packages=LIBRARY)
    write_json(write_full(bench.here) / name, values)


@CASES.finds(
    "check_custom_code_present", "custom-code-missing", "tokenizer_config.json names classes in tokenization_own"
)
def code_of_the_tokenizer_gone(bench: Bench) -> None:
    own = {"AutoTokenizer": ["tokenization_own.OwnTokenizer", None]}
    with_its_own(bench, "tokenizer_config.json", tokenizer_class="OwnTokenizer", auto_map=own)


@CASES.skips("check_custom_code_present", "no code of its own")
def code_of_a_known_tokenizer(bench: Bench) -> None:
    own = {"AutoTokenizer": ["tokenization_own.LlamaTokenizer", None]}
    with_its_own(bench, "tokenizer_config.json", tokenizer_class="LlamaTokenizer", auto_map=own)


@CASES.finds("check_custom_code_present", "custom-code-missing", "classes in processing_own.py", severity="warning")
def code_of_the_processor_gone(bench: Bench) -> None:
    own = {"AutoProcessor": "processing_own.OwnProcessor"}
    with_its_own(bench, "preprocessor_config.json", processor_class="OwnProcessor", auto_map=own)


@CASES.passes("check_custom_code_present")
def code_there(bench: Bench) -> None:
    (of_its_own_code(bench, "modeling_own.Own") / "modeling_own.py").write_text("class Own: ...\n")


@CASES.finds("check_custom_code_present", "custom-code-missing", "classes in modeling_own.py, which is not beside")
def code_gone(bench: Bench) -> None:
    of_its_own_code(bench, "modeling_own.Own")


@CASES.finds("check_custom_code_present", "custom-code-missing", "classes in layers_own.py")
def imported_code_gone(bench: Bench) -> None:
    (of_its_own_code(bench, "modeling_own.Own") / "modeling_own.py").write_text("from .layers_own import Layer\n")


@CASES.finds("check_custom_code_present", "custom-code-missing", "of acme/own, which is not in the local cache")
def code_of_another_repository(bench: Bench) -> None:
    of_its_own_code(bench, "acme/own--modeling_own.Own")


@CASES.finds("check_custom_code_present", "custom-code-missing", "which is not the name of a repository")
def code_of_no_repository(bench: Bench) -> None:
    of_its_own_code(bench, "../own--modeling_own.Own")


@pytest.mark.parametrize(
    "spoil, cure",
    [
        (lambda raw: b"\xef\xbb\xbf" + raw, "again without the byte-order mark"),
        (lambda raw: raw.decode().encode("utf-16"), "again as UTF-8"),
        (lambda raw: raw[:-1] + b",\n}", "by hand at line 2 or just before"),
        (lambda raw: raw[:-9], "Copy it from"),
        (lambda raw: b"\xef\xbb\xbf" + raw[:-9], "Copy it from"),
    ],
)
def test_slips_have_a_cure_of_their_own(tmp_path: Path, spoil: Callable[[bytes], bytes], cure: str) -> None:
    bench = Bench(root=tmp_path)
    file = write_full(bench.here) / "config.json"
    whole = file.read_bytes()
    file.write_bytes(spoil(whole))
    (found,) = bench.run("check_config").findings
    assert cure in found.fix.summary
    if "again" in cure:
        words = shlex.split(found.fix.commands[0])
        subprocess.run([sys.executable, *words[1:]], check=True)
        assert file.read_bytes() == whole


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: Case, tmp_path: Path) -> None:
    case.hold(tmp_path)
