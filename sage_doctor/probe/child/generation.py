"""Generating as a session does: the prompt, the scores of the first token, and an answer timed token by token."""

from __future__ import annotations

import math
import os
import time
from typing import Any

from sage_doctor.probe.child.reporter import ProbeFailure, Reporter

MOST_TOKENS = 20_000
_MOST_TRAINED = 64
_REPORT_S = 0.5  # between two reports of how many tokens there are
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json", "vocab.txt")
# Settings that sample or search: a probe decodes greedily so that two runs can be compared.
_NOT_GREEDY = (
    *("do_sample", "temperature", "top_k", "top_p", "min_p", "top_h", "typical_p", "epsilon_cutoff", "eta_cutoff"),
    *("penalty_alpha", "num_beams", "num_beam_groups", "diversity_penalty", "length_penalty", "early_stopping"),
    *("num_return_sequences", "max_length", "max_time"),
)


class TokenTimer:
    """Records the time of each new token, and reports now and then how many there are; has a streamer's interface."""

    def __init__(self, reporter: Reporter, most: int) -> None:
        self.ids: list[int] = []
        self.times: list[float] = []
        self._prompt_seen = False
        self._reporter = reporter
        self._most = most
        self._reported = time.perf_counter()

    def put(self, value: Any) -> None:
        """Note one token; the first call hands over the prompt."""
        if not self._prompt_seen:
            self._prompt_seen = True
            return
        now = time.perf_counter()
        self.times.append(now)
        self.ids.extend(int(i) for i in value.flatten().tolist())
        if now - self._reported > _REPORT_S:
            self._reported = now
            self._reporter.send("tokens", done=len(self.times), most=self._most)

    def end(self) -> None:
        """Do nothing: the last token's time is the end."""


def encode(
    torch: Any, transformers: Any, request: dict[str, Any], base: str, device: str
) -> tuple[Any, dict[str, Any]]:
    """Return the tokenizer of the model (of the adapter, where it brings one) and the prompt as it sees it."""
    own = any(os.path.exists(os.path.join(request["path"], name)) for name in _TOKENIZER_FILES)
    where = request["path"] if own else base
    tokenizer = transformers.AutoTokenizer.from_pretrained(where, trust_remote_code=False, local_files_only=True)
    if getattr(tokenizer, "chat_template", None):
        messages = [{"role": "user", "content": request["prompt"]}]
        inputs = tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
    else:
        inputs = tokenizer(request["prompt"], return_tensors="pt")
    kept = {k: inputs[k].to(device) for k in ("input_ids", "attention_mask") if k in inputs}
    if not kept["input_ids"].numel():
        if request["prompted"]:
            raise ProbeFailure("ValueError", "the prompt has no tokens")
        # Nobody said that it knows English: a model of proteins or of chess is asked with tokens of its own.
        few = torch.arange(min(8, len(tokenizer)), device=device).reshape(1, -1)
        kept = {"input_ids": few, "attention_mask": few.new_ones(few.shape)}
    return tokenizer, kept


def make_greedy(transformers: Any, base: Any, tokenizer: Any) -> dict[str, Any]:
    """Neutralise what samples or searches in the model's own settings; returns the settings of each call."""
    settings, plain = base.generation_config, transformers.GenerationConfig()
    for name in _NOT_GREEDY:
        if hasattr(settings, name) and hasattr(plain, name):
            setattr(settings, name, getattr(plain, name))
    pad = settings.pad_token_id if settings.pad_token_id is not None else tokenizer.pad_token_id
    if pad is None:
        ends = settings.eos_token_id if settings.eos_token_id is not None else tokenizer.eos_token_id
        pad = ends[0] if isinstance(ends, (list, tuple)) and ends else ends
    return {"do_sample": False} if pad is None else {"do_sample": False, "pad_token_id": pad}


def next_logits(model: Any, inputs: dict[str, Any], settings: dict[str, Any]) -> Any:
    """Return the raw scores of the first new token, by the very path a session's `generate` takes."""
    out = model.generate(**inputs, **settings, max_new_tokens=1, return_dict_in_generate=True, output_logits=True)
    return out.logits[0].float()


def why_not_prompted(transformers: Any, core: Any) -> str:
    """Return why a model cannot be asked in words and answer in words, "" where it can."""
    name = type(core).__name__
    if not getattr(core, "can_generate", lambda: False)():
        return f"{name} does not generate text"
    takes = getattr(core, "main_input_name", "input_ids")
    if takes != "input_ids":
        return f"{name} takes {takes}, not text"
    tables = getattr(getattr(getattr(transformers, "models", None), "auto", None), "modeling_auto", None)
    sounds = [getattr(tables, f"MODEL_FOR_TEXT_TO_{k}_MAPPING_NAMES", {}) for k in ("WAVEFORM", "SPECTROGRAM")]
    if any(name in table.values() for table in sounds) or "text" not in getattr(core, "output_modalities", ["text"]):
        return f"{name} does not generate text"
    return ""


def report_forward(
    torch: Any, reporter: Reporter, model: Any, *, inputs: dict[str, Any], settings: dict[str, Any], adapter: bool
) -> None:
    """Report whether the scores are finite, and whether an adapter changes them at all."""
    scores = next_logits(model, inputs, settings)
    nan, infinite = int(scores.isnan().sum()), int(scores.isinf().sum())
    reporter.send("forward", nan=nan, infinite=infinite, total=int(scores.numel()))
    if not adapter:
        return
    difference, problem = None, ""
    try:
        difference = _difference(model, scores, inputs, settings)
        if difference == 0:
            inputs = _reaching(torch, model, inputs)
            difference, problem = _reached_difference(model, inputs, settings)
    except Exception as error:  # noqa: BLE001 - some adapter types cannot be switched off, each in its own way
        difference, problem = None, f"{type(error).__name__}: {error}"[:500]
    if difference is not None and not math.isfinite(difference):
        difference, problem = None, "the scores are not finite"
    changes = None if difference is None else difference > 0
    reporter.send("effect", changes_logits=changes, max_abs_difference=difference, problem=problem)


def _difference(model: Any, scores: Any, inputs: dict[str, Any], settings: dict[str, Any]) -> float:
    with model.disable_adapter():
        plain = next_logits(model.get_base_model(), inputs, settings)
    return float((scores - plain).abs().max())


def _reaching(torch: Any, model: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """Return the prompt with the tokens behind it that some adapters act on, and on nothing else."""
    config = model.active_peft_config
    ids: list[int] = []
    for field in ("token_indices", "trainable_token_indices"):
        stated = getattr(config, field, None) or []
        lists = stated.values() if isinstance(stated, dict) else [stated]
        ids += [int(n) for part in lists for n in list(part)[:_MOST_TRAINED]]
    ids += [int(n) for n in getattr(config, "alora_invocation_tokens", None) or []]
    if not ids:
        return inputs
    more = inputs["input_ids"].new_tensor([ids])
    longer = {k: v.new_ones(more.shape) if k == "attention_mask" else more for k, v in inputs.items()}
    return {k: torch.cat([v, longer[k]], dim=1) for k, v in inputs.items()}


def _reached_difference(model: Any, inputs: dict[str, Any], settings: dict[str, Any]) -> tuple[float | None, str]:
    """Return the difference on an input, None with the reason where part of the adapter is not reached by it.

    A prompt goes through no vision tower, and not through every expert.
    """
    layers = [m for m in model.modules() if hasattr(m, "adapter_layer_names") and hasattr(m, "base_layer")]
    reached = set()
    hooks = [m.register_forward_hook(lambda m, _given, _out: reached.add(id(m))) for m in layers]
    try:
        scores = next_logits(model, inputs, settings)
    finally:
        for hook in hooks:
            hook.remove()
    difference = _difference(model, scores, inputs, settings)
    if difference == 0 and len(reached) < len(layers):
        return None, f"the prompt reaches {len(reached)} of the adapter's {len(layers)} modules"
    return difference, ""


def report_generation(
    reporter: Reporter, model: Any, tokenizer: Any, inputs: dict[str, Any], *, settings: dict[str, Any], most: int
) -> None:
    """Generate once, timed token by token, and report the result."""
    clock = TokenTimer(reporter, most)
    started = time.perf_counter()
    model.generate(**inputs, **settings, max_new_tokens=most, streamer=clock)
    ends = model.generation_config.eos_token_id
    ends = ends if isinstance(ends, (list, tuple)) else [ends]
    times, ids = clock.times, clock.ids
    decoding = times[-1] - times[0] if len(times) > 1 else 0.0
    reporter.send(
        "generation",
        token_ids=ids[-MOST_TOKENS:],
        text=tokenizer.decode(ids, skip_special_tokens=True)[:2000],
        ended_by_eos=bool(ids) and ids[-1] in ends,
        first_token_ms=(times[0] - started) * 1000 if times else None,
        tokens_per_s=(len(times) - 1) / decoding if decoding > 0 else None,
        seconds=time.perf_counter() - started,
    )
