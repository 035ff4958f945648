"""What takes no text needs no tokenizer, and what spells needs no merges: by the tables of transformers itself."""

from __future__ import annotations

from tests.corpus.builders.case import Bench, Table

TABLE = Table("field-classes", in_tree=False)


@TABLE.healthy(source="huggingface/transformers#14214", shows="loads")
def hubert_without_tokenizer(bench: Bench) -> None:
    """`facebook/hubert-base-ls960` has a feature extractor alone."""
    bench.copy("hubert")


@TABLE.healthy(source="huggingface/transformers#14908", shows="loads")
def wavlm_without_tokenizer(bench: Bench) -> None:
    """`microsoft/wavlm-base-plus-sv` compares voices."""
    bench.copy("wavlm")


@TABLE.healthy(source="microsoft/UniSpeech#15", shows="loads")
def unispeech_without_tokenizer(bench: Bench) -> None:
    """For audio classification nobody needs one."""
    bench.copy("unispeech-sat")


@TABLE.healthy(source="huggingface/transformers#10696", shows="loads")
def xlsr_without_tokenizer(bench: Bench) -> None:
    """`facebook/wav2vec2-large-xlsr-53` was trained on sound alone, and names the class it was trained with."""
    bench.copy("wav2vec2")


@TABLE.healthy(source="huggingface/transformers#25485", shows="loads")
def letters_without_merges(bench: Bench) -> None:
    """A recogniser of letters: vocab.json is all its class reads, and nothing names that class."""
    bench.copy("wav2vec2-letters")


@TABLE.error("tokenizer-missing", source="huggingface/transformers#14479", shows="TypeError")
def letters_without_tokenizer(bench: Bench) -> None:
    """But what writes down speech is nothing without its letters."""
    (bench.copy("wav2vec2-letters") / "vocab.json").unlink()
