import json
from pathlib import Path

import pytest

from sage_doctor.readers.merge_record import RECORD, merge_hashes


def test_the_record_says_what_the_weights_hash_to(tmp_path: Path) -> None:
    outputs = [{"path": "model.safetensors", "sha256": "a" * 64}, {"path": "other", "sha256": "short"}]
    (tmp_path / RECORD).write_text(json.dumps({"outputs": outputs}), encoding="utf-8")
    found = merge_hashes(tmp_path)
    assert {name: (known.algorithm, known.hex) for name, known in found.items()} == {
        "model.safetensors": ("sha256", "a" * 64)
    }


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"outputs": 1}', '{"outputs": [1, {"path": 2, "sha256": 3}]}'])
def test_a_record_of_another_form_says_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / RECORD).write_text(text, encoding="utf-8")
    assert merge_hashes(tmp_path) == {}


def test_no_record_says_nothing(tmp_path: Path) -> None:
    assert merge_hashes(tmp_path) == {}
