"""An exception that no entry knows is told by what its traceback says, and only then."""

from __future__ import annotations

import pytest

from sage_doctor.cli.explain import _causes
from sage_doctor.findings.recognition import recognise, search

CODE = "exception-unknown"
MESSAGE = "AttributeError: 'NoneType' object has no attribute 'count'"
FRAMES = {
    # github.com/AIAnytime/Chat-with-PDF-Chatbot/issues/19
    "python": (
        'Traceback (most recent call last):\n  File "run.py", line 25, in <module>\n    main()\n'
        '  File "C:\\\\x\\\\lib\\\\site-packages\\\\transformers\\\\modeling_utils.py", line 2865, in _load\n    a()\n'
    ),
    # github.com/unslothai/unsloth/issues/2413
    "notebook": (
        "[/usr/lib/python3.11/dist-packages/transformers/modeling_utils.py](https://localhost:8080/#) in _load(a, b)\n"
        "    103         c\n--> 105     if a.values():\n    106         # d\n\n"
    ),
    "ipython": "File ~/x/site-packages/transformers/modeling_utils.py:2865, in _load(a)\n   2864 c\n-> 2865 a()\n\n",
    # github.com/vllm-project/llm-compressor/issues/959
    "worker": (
        'ERROR 12-05 20:24:46 core.py:366]   File "/site-packages/transformers/modeling_utils.py", line 28, in _load\n'
        "ERROR 12-05 20:24:46 core.py:366]     a.values()\nERROR 12-05 20:24:46 core.py:366] "
    ),
}


@pytest.mark.parametrize("frames", FRAMES.values(), ids=FRAMES)
def test_it_says_which_package_raised_what_and_where(frames: str) -> None:
    (found,) = recognise([f"{frames}{MESSAGE}\n".encode()])
    assert (found.known.code, found.sure) == (CODE, False)
    assert found.line.endswith(MESSAGE)
    assert found.known.cause.startswith("The package transformers raised AttributeError (modeling_utils.py")
    assert "_load" in found.known.cause


def test_the_code_of_a_model_and_of_a_script_are_no_packages() -> None:
    for file, who in (
        ("/h/.cache/huggingface/modules/transformers_modules/org/x/modeling_x.py", "The model's own code raised"),
        ("/opt/run.py", "The program raised"),
    ):
        (found,) = recognise([f'  File "{file}", line 3, in f\n    x\n{MESSAGE}\n'.encode()])
        assert found.known.cause.startswith(who)


@pytest.mark.parametrize(
    "text",
    [MESSAGE, f"metrics {MESSAGE}", f"# Notes\n\n{MESSAGE}\n", f"    raise {MESSAGE.replace(': ', '(')})\n"],
)
def test_it_is_not_told_without_a_traceback(text: str) -> None:
    assert search(f"{text}\n") == ()


def test_it_is_not_told_of_what_another_entry_knows() -> None:
    known = "ModuleNotFoundError: No module named 'peft'"
    assert [e.code for e in search(FRAMES["python"] + known + "\n")] == ["package-missing"]
    both = f"{FRAMES['python']}{MESSAGE}\n\nDuring handling of the above exception, another exception occurred:\n\n"
    found = [(r.known.code, r.line) for r in recognise([f"{both}{FRAMES['python']}{known}\n".encode()])]
    assert found == [("package-missing", known), (CODE, MESSAGE)]


def test_what_follows_from_an_exception_stands_behind_it() -> None:
    log = f"{FRAMES['worker']}{MESSAGE}\nRuntimeError: Engine core initialization failed. See root cause above.\n"
    causes, others = _causes(recognise([log.encode()]))
    assert [c[0].known.code for c in (*causes, *others)] == [CODE, "service-error"]


def test_how_a_process_ended_counts_less_shortly_after_what_says_why() -> None:
    why, end = "llama_model_load: error loading model: unknown model architecture: 'mllama'\n", "Segmentation fault\n"
    # github.com/ggml-org/llama.cpp/issues/14951
    causes, others = _causes(recognise([(why + end).encode()]))
    assert [c[0].known.code for c in causes] == ["config-type-unknown"]
    assert "load-crashed" in [c[0].known.code for c in others]
    causes, _ = _causes(recognise([(why + "step\n" * 60 + end).encode()]))
    assert [c[0].known.code for c in causes] == ["load-crashed", "config-type-unknown"]
    causes, _ = _causes(recognise([end.encode()]))
    assert [c[0].known.code for c in causes] == ["load-crashed"]


def test_a_link_and_a_line_of_code_as_pages_make_them_are_what_they_show() -> None:
    # github.com/Dao-AILab/flash-attention/issues/854
    link = f"[/x/flash_attn.so](https://vscode.example/{'x' * 300}/flash_attn.so)"
    assert [e.code for e in search(f"ImportError: {link}: undefined symbol: _ZN2at4\n")] == ["library-unloadable"]
    assert [e.code for e in search("`TypeError: not a string`.\n")] == ["tokenizer-invalid"]
    assert search("`CUDA out of memory. Tried to allocate 2 GiB` means that memory ran out.\n") == ()
