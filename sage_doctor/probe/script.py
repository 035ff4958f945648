"""The child side of the probe: loads a model and generates, as a session would, and reports what it sees.

Run by path, by the session's own interpreter (Python 3.8 or newer): standard library, torch, transformers and peft
only, and nothing of sage-doctor but the files in `child/` beside this one. `argv` holds two inherited descriptors: the
request comes from the first as one line of JSON, answers go to the second as one JSON object a line. Standard output
and error belong to the libraries. Every stage is announced before it begins, so that the parent can name the one that
hung or crashed.
"""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import sys
import time
from types import ModuleType
from typing import Any, NoReturn

if __name__ == "__main__":
    # Files beside this one must not shadow modules, and no `__init__` of sage-doctor is made for this interpreter.
    _here = os.path.dirname(os.path.abspath(__file__))
    if sys.path and os.path.abspath(sys.path[0]) == _here:
        del sys.path[0]
    for _name, _folder in (("sage_doctor", os.path.dirname(_here)), ("sage_doctor.probe", _here)):
        sys.modules[_name] = ModuleType(_name)
        sys.modules[_name].__path__ = [_folder]

from sage_doctor.probe.child.device import choose_device, report_memory, verify_device
from sage_doctor.probe.child.generation import (
    encode,
    make_greedy,
    report_forward,
    report_generation,
    why_not_prompted,
)
from sage_doctor.probe.child.lifeline import die_with_parent, offer_to_oom_killer, watch_parent
from sage_doctor.probe.child.loading import Plan, load_adapter, load_package, report_loaded, resize
from sage_doctor.probe.child.reporter import ProbeFailure, Reporter, report_failure


def load(reporter: Reporter, request: dict[str, Any], plan: Plan, *, transformers: Any, peft: Any) -> tuple[Any, float]:
    """Rehearse the load, then load; returns the model and the seconds it took. Raises `ProbeFailure` for a misfit."""
    fit = plan.rehearse()
    if fit is not None:
        fit.report(reporter)
        if fit.wrong:
            raise ProbeFailure("KeysMismatch", fit.sentence)
    reporter.stage("load-base" if plan.adapter else "load")
    model, loaded, seconds = plan.load(request["dtype"])
    if fit is None or not os.path.exists(os.path.join(plan.directory, "adapter_config.json")):
        loaded.report(reporter)  # with an adapter beside the weights, the library tells of the adapter's keys alone
        if loaded.mismatched:
            raise ProbeFailure("RuntimeError", loaded.sentence)
    started = time.perf_counter()
    if plan.adapter:
        reporter.stage("load-adapter")
        resize(transformers, model, plan.adapter)
        model = load_adapter(reporter, peft, model, plan.adapter)
    return model, seconds + time.perf_counter() - started


def probe(reporter: Reporter, request: dict[str, Any]) -> None:
    """Run the stages. Raises whatever the libraries raise."""
    adapter = request["kind"] == "adapter"
    reporter.stage("import")
    if request["level"] == "device":
        torch = load_package("torch")
        reporter.stage("device")
        verify_device(reporter, torch, choose_device(torch, request))
        return
    torch, transformers = load_package("torch"), load_package("transformers")
    peft = load_package("peft") if adapter else None

    reporter.stage("device")
    device = choose_device(torch, request)
    verify_device(reporter, torch, device)

    reporter.stage("compare")
    plan = Plan(torch, transformers, request, peft)
    model, seconds = load(reporter, request, plan, transformers=transformers, peft=peft)
    started = time.perf_counter()
    model = model.to(device).eval()
    report_loaded(reporter, model, seconds + time.perf_counter() - started)
    report_memory(reporter, torch, device)
    if request["level"] != "generate":
        return

    core = model.get_base_model() if adapter else model
    reason = why_not_prompted(transformers, core)
    if reason:
        reporter.send("not-applicable", reason=reason)
        return
    reporter.stage("tokenizer")
    tokenizer, inputs = encode(torch, transformers, request, plan.directory, device)
    reporter.send("prompt", tokens=int(inputs["input_ids"].shape[-1]), templated=bool(tokenizer.chat_template))
    settings = make_greedy(transformers, core, tokenizer)
    reporter.stage("forward")
    report_forward(torch, reporter, model, inputs=inputs, settings=settings, adapter=adapter)
    # The forward pass has warmed the prompt's path; two tokens after a single one warm the decoding.
    reporter.stage("warm-up")
    model.generate(**{k: v[:, -1:] for k, v in inputs.items()}, **settings, max_new_tokens=2)
    reporter.stage("generate")
    report_generation(reporter, model, tokenizer, inputs, settings=settings, most=request["max_new_tokens"])
    report_memory(reporter, torch, device)


def main() -> NoReturn:
    """Read the request, run the stages, report how it ended."""
    die_with_parent()
    offer_to_oom_killer()
    # At the deadline the parent sends SIGTERM first: the stack goes to standard error, then the process ends.
    faulthandler.register(signal.SIGTERM, all_threads=False, chain=True)
    request_fd, answer_fd = int(sys.argv[1]), int(sys.argv[2])
    for descriptor in (request_fd, answer_fd):
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - what it starts does not hold the line open
    reporter = Reporter(answer_fd)
    reporter.stage("start")
    with os.fdopen(request_fd, "rb", closefd=False) as handle:
        request = json.loads(handle.readline())
    watch_parent(request_fd)
    status = 0
    try:
        probe(reporter, request)
        reporter.stage("done")
    except BaseException as error:  # noqa: BLE001 - whatever it was, the parent is told
        report_failure(reporter, error)
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # tearing down a GPU context by exit handlers has been seen to hang


if __name__ == "__main__":
    main()
