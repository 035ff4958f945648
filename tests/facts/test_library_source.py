import json
from pathlib import Path

import pytest

from sage_doctor.facts.library_source import (
    known_model_types,
    known_peft_types,
    knows_model_type,
    knows_peft_type,
    torch_build,
    unknown_fields,
)
from tests.warm_python import run_warm


def lay(site: Path, name: str, text: str) -> None:
    path = site / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


AUTO = "transformers/models/auto"


def test_model_types_of_transformers_4(tmp_path: Path) -> None:
    text = """
from collections import OrderedDict
CONFIG_MAPPING_NAMES = OrderedDict(
    [
        # Add configs here
        ("albert", "AlbertConfig"),
        ("qwen2", "Qwen2Config"),
    ]
)
MODEL_NAMES_MAPPING = OrderedDict([("nothing", "Nothing")])
"""
    lay(tmp_path, f"{AUTO}/configuration_auto.py", text)
    assert known_model_types((tmp_path / "absent", tmp_path)) == frozenset({"albert", "qwen2"})


def test_model_types_of_transformers_5(tmp_path: Path) -> None:
    generated = 'CONFIG_MAPPING_NAMES = OrderedDict([("qwen2", "Qwen2Config")])\nOTHER = {"no": "No"}\n'
    added = """
from .auto_mappings import CONFIG_MAPPING_NAMES
CONFIG_MAPPING_NAMES.update({"mlcd": "MLCDVisionConfig"})
CONFIG_MAPPING_NAMES = OrderedDict(**{"gpt-sw3": "GPT2Config"}, **CONFIG_MAPPING_NAMES)
"""
    lay(tmp_path, f"{AUTO}/auto_mappings.py", generated)
    lay(tmp_path, f"{AUTO}/configuration_auto.py", added)
    assert known_model_types((tmp_path,)) == frozenset({"qwen2", "mlcd", "gpt-sw3"})


@pytest.mark.parametrize("text", ["", "CONFIG_MAPPING_NAMES = make()\n", "def broken(:\n", "x = 1\0"])
def test_model_types_that_cannot_be_read(tmp_path: Path, text: str) -> None:
    lay(tmp_path, f"{AUTO}/configuration_auto.py", text)
    assert known_model_types((tmp_path,)) is None


def test_peft_types(tmp_path: Path) -> None:
    text = '''
class PeftType(str, enum.Enum):
    """Types: LORA"""
    LORA = "LORA"
    IA3 = "IA3"

class TaskType(str, enum.Enum):
    CAUSAL_LM = "CAUSAL_LM"
'''
    lay(tmp_path, "peft/utils/peft_types.py", text)
    assert known_peft_types((tmp_path,)) == frozenset({"LORA", "IA3"})
    assert known_peft_types(()) is None


def test_lora_fields_come_with_those_of_the_parents(tmp_path: Path) -> None:
    lora = """
@dataclass
class LoraRuntimeConfig:
    ephemeral_gpu_offload: bool = False

@dataclass
class LoraConfig(PeftConfig):
    r: int = field(default=8)
    init_lora_weights: (
        bool | Literal["gaussian"]
    ) = field(default=True)
    kinds: ClassVar[int] = 1

    def to_dict(self):
        local: int = 1
"""
    base = """
class PeftConfigMixin(PushToHubMixin):
    auto_mapping: Optional[dict] = field(default=None)

class PeftConfig(PeftConfigMixin):
    base_model_name_or_path: Optional[str] = field(default=None)

class PromptLearningConfig(PeftConfig):
    num_virtual_tokens: int = 1
"""
    lay(tmp_path, "peft/tuners/lora/config.py", lora)
    said = ["r", "base_model_name_or_path", "brand_new", "num_virtual_tokens"]
    assert unknown_fields((tmp_path / "absent",), "LORA", said) is None
    lay(tmp_path, "peft/config.py", base)
    assert unknown_fields((tmp_path,), "LORA", said) == ["brand_new", "num_virtual_tokens"]
    assert unknown_fields((tmp_path,), "VERA", said) is None
    lay(tmp_path, "peft/tuners/adalora/config.py", "class AdaLoraConfig(LoraConfig):\n    target_r: int = 8\n")
    lay(tmp_path, "peft/tuners/p_tuning/config.py", "class P(PromptLearningConfig):\n    x: int = 8\n")
    assert unknown_fields((tmp_path,), "ADALORA", ["r", "target_r", "x"]) == ["x"]
    assert unknown_fields((tmp_path,), "P_TUNING", ["num_virtual_tokens", "r"]) == ["r"]


FIELDS = """
import dataclasses, json, pathlib, peft
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING as known
print(json.dumps([str(pathlib.Path(peft.__file__).parents[1])]))
print(json.dumps({str(k.value): [f.name for f in dataclasses.fields(c)] for k, c in known.items()}))
"""


def test_every_field_of_peft_is_known(warm_python: Path, tmp_path: Path) -> None:
    done = run_warm(warm_python, ("-c", FIELDS), cwd=tmp_path, env={"HF_HUB_OFFLINE": "1"})
    sites, fields = (json.loads(line) for line in done.stdout.splitlines())
    found = {kind: unknown_fields([Path(s) for s in sites], kind, [*own, "new"]) for kind, own in fields.items()}
    assert len(found) > 20
    assert found == {kind: ["new"] for kind in fields}


@pytest.mark.parametrize(
    "version,file,expected",
    [
        (None, None, (None, None)),
        ("2.5.1", None, (None, None)),
        ("2.13.0+cpu", None, ("cpu", "cpu")),
        ("2.7.0+cu128", None, ("cu128", "cuda")),
        ("2.7.0+rocm6.3", None, ("rocm6.3", "rocm")),
        ("2.5.0a0+872d972e41.nv24.08", None, ("872d972e41.nv24.08", None)),
        ("2.5.0a0+872d972e41.nv24.08", "cuda = '12.6'\nhip = None\n", ("872d972e41.nv24.08", "cuda")),
        ("2.5.1", "cuda: Optional[str] = '12.4'\nhip: Optional[str] = None\n", ("cu124", "cuda")),
        ("2.5.1", "cuda: Optional[str] = None\nhip: Optional[str] = '6.2'\n", ("rocm6.2", "rocm")),
        ("2.5.1", "cuda: Optional[str] = None\nhip: Optional[str] = None\n", ("cpu", "cpu")),
    ],
)
def test_torch_build(
    tmp_path: Path, version: str | None, file: str | None, expected: tuple[str | None, str | None]
) -> None:
    if file is not None:
        lay(tmp_path, "torch/version.py", file)
    assert torch_build(version, [tmp_path]) == expected


def test_asks_about_one_name_without_reading_the_whole_table(tmp_path: Path) -> None:
    lay(tmp_path, "transformers/models/auto/auto_mappings.py", 'CONFIG_MAPPING_NAMES = {"llama": "LlamaConfig"}\n')
    lay(tmp_path, "peft/utils/peft_types.py", 'class PeftType(str):\n    LORA = "LORA"\n')
    assert knows_model_type((tmp_path,), "llama") is True
    assert knows_model_type((tmp_path,), "lama") is False
    assert knows_model_type((tmp_path / "absent",), "llama") is None
    assert knows_peft_type((tmp_path,), "LORA") is True
    assert knows_peft_type((tmp_path,), "LOR") is False
    assert knows_peft_type((tmp_path / "absent",), "LORA") is None
