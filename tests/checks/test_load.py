"""Loading: how a probe's end becomes findings. The probe itself is tested with real models of its own."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sage_doctor.probe.limits import ProcessLimits
from sage_doctor.probe.outcome import Adapter, Failure, KeyList, Keys, ProbeOutcome, ShapeMismatch, Stage
from tests.library_sources import write_library
from tests.model_directories import WEIGHTS, edit_json, write_adapter, write_full

from .cases import SESSION, Bench, Case, Cases
from .probe_outcomes import COMPLETED, CPU, KEYS, LOADED, NOTHING, ONE

CASES = Cases()


def probed(bench: Bench, **changes: Any) -> None:
    write_full(bench.here)
    bench.outcome = replace(COMPLETED, **changes)


def ended(bench: Bench, ending: str, **changes: Any) -> None:
    """End the probe while it loads: nothing is known of the model then."""
    common = {"keys": None, "loaded": None, "memory": None, "forward": None, "generation": None}
    stages = (Stage(name="load", started_s=1.0, seconds=41.0),)
    probed(bench, ending=ending, message="what the library said", stage="load", stages=stages, **common, **changes)


def budgeted(bench: Bench, budget: str) -> None:
    probed(bench)
    bench.manifest(f'[models.m]\nkind = "full"\npath = "here"\nbudget = {{ {budget} }}\n', "m")


@CASES.passes("check_loads", measures=("load_s", "peak_memory_gb"))
@CASES.passes("check_keys")
@CASES.passes("check_placement")
def completed(bench: Bench) -> None:
    probed(bench)


@CASES.skips("check_loads", "blocked by interpreter-missing")
def no_interpreter(bench: Bench) -> None:
    probed(bench)
    bench.session = replace(SESSION, problem="missing")


@CASES.skips("check_loads", "blocked by package-missing")
def no_torch(bench: Bench) -> None:
    probed(bench)
    bench.session = replace(SESSION, packages={})


@CASES.finds("check_loads", "load-failed", "failed in stage load: what the library said")
def failed(bench: Bench) -> None:
    ended(bench, "failed")


@CASES.finds("check_loads", "load-timeout", "hung in stage load for 41 s")
def hung(bench: Bench) -> None:
    ended(bench, "deadline")


@CASES.finds("check_loads", "load-timeout", "Process 4711 is stuck in the kernel")
def hung_in_the_kernel(bench: Bench) -> None:
    ended(bench, "deadline", abandoned_pid=4711)


@CASES.finds("check_loads", "load-crashed", "crashed while loading")
def crashed(bench: Bench) -> None:
    ended(bench, "signal", signal="SIGSEGV")


@CASES.finds("check_loads", "load-killed", "ended from outside with SIGTERM while loading it, in stage load")
def stopped_by_somebody(bench: Bench) -> None:
    ended(bench, "signal", signal="SIGTERM")


@CASES.finds("check_loads", "load-killed", "its CPU time is limited to 60 s (ulimit -t)")
def out_of_cpu_time(bench: Bench) -> None:
    ended(bench, "signal", signal="SIGKILL", limit="cpu-time", limits=ProcessLimits(cpu_s=60))


@CASES.finds("check_loads", "load-out-of-memory", "limited to 1.0 GB here (ulimit -v 1000000)")
def out_of_address_space(bench: Bench) -> None:
    ended(bench, "out-of-memory", limit="address-space", limits=ProcessLimits(address_space=1_024_000_000))


@CASES.finds("check_loads", "load-out-of-memory", "the memory of a process is limited to 1.0 GB here (ulimit -d 1")
def out_of_data(bench: Bench) -> None:
    ended(bench, "out-of-memory", limit="data", limits=ProcessLimits(data=1_024_000_000))


@CASES.finds("check_loads", "load-out-of-memory", "within the 2.0 GB that its control group allows")
def out_of_a_control_group(bench: Bench) -> None:
    ended(bench, "out-of-memory")
    bench.machine = lambda facts: replace(facts, memory=replace(facts.memory, limit=2_000_000_000))


@CASES.finds("check_loads", "library-unloadable", "libsage-none.so.7 is not found while loading it, and it is in none")
def a_library_that_is_nowhere(bench: Bench) -> None:
    ended(bench, "import-error")
    text = "libsage-none.so.7: cannot open shared object file: No such file or directory"
    bench.outcome = replace(bench.outcome or COMPLETED, message=f"cannot import torch: ImportError: {text}")


@CASES.finds("check_loads", "library-unloadable", "which only the login shell's LD_LIBRARY_PATH names (")
def a_library_that_only_a_login_finds(bench: Bench) -> None:
    a_library_that_is_nowhere(bench)
    place = bench.root / "home/cuda/lib64"
    place.mkdir(parents=True)
    (place / "libsage-none.so.7").touch()
    (bench.root / "home/.bashrc").write_text("# x\nexport LD_LIBRARY_PATH=$HOME/cuda/lib64:$LD_LIBRARY_PATH\n")


@CASES.finds("check_loads", "load-out-of-memory", "memory ran out while loading")
def out_of_memory(bench: Bench) -> None:
    ended(bench, "out-of-memory")


@CASES.finds("check_loads", "package-missing", "cannot import")
def import_failed(bench: Bench) -> None:
    ended(bench, "import-error")


@CASES.finds("check_loads", "interpreter-missing", "does not start")
def not_started(bench: Bench) -> None:
    ended(bench, "spawn-failed")


@CASES.finds("check_loads", "probe-protocol", "without a result")
def said_nothing(bench: Bench) -> None:
    ended(bench, "protocol")


@CASES.passes("check_loads")
def ended_while_generating(bench: Bench) -> None:
    probed(bench, ending="failed", stage="generate")


@CASES.finds("check_loads", "load-over-budget", "load_s is 2 s, over the budget of 1.5 s")
def slower_than_its_budget(bench: Bench) -> None:
    budgeted(bench, "load_s = 1.5")


@CASES.finds("check_loads", "memory-over-budget", "2 GB, over the budget of 1.5 GB")
def larger_than_its_budget(bench: Bench) -> None:
    budgeted(bench, "peak_memory_gb = 1.5")


@CASES.passes("check_loads", measures=("load_s",))
def within_its_budget(bench: Bench) -> None:
    budgeted(bench, "load_s = 2.5, peak_memory_gb = 3")


def keys(bench: Bench, **changes: Any) -> None:
    found: Keys = replace(KEYS, **changes)
    probed(bench, keys=found)


@CASES.finds("check_keys", "weights-keys-missing", "1 parameter(s) are not in the weights")
def missing_keys(bench: Bench) -> None:
    keys(bench, missing=ONE)


def refused(bench: Bench, **changes: Any) -> None:
    """End the probe at the headers: no weight was read."""
    failure = Failure(kind="failed", type="KeysMismatch", message="", module="", where=())
    ended(bench, "failed", failure=failure)
    assert bench.outcome is not None
    bench.outcome = replace(bench.outcome, stage="compare", keys=replace(KEYS, **changes))


@CASES.skips("check_loads", "its weights were not read")
@CASES.finds("check_keys", "weights-keys-missing", "1 parameter(s) are not in the weights")
def refused_before_a_weight_is_read(bench: Bench) -> None:
    refused(bench, missing=ONE)


@CASES.finds("check_keys", "weights-keys-missing", "those of LlamaModel, which has no head")
def headless_and_asked(bench: Bench) -> None:
    refused(bench, missing=KeyList(names=("lm_head.weight",), total=1))
    edit_json(bench.here / "config.json", architectures=["LlamaModel"])


@CASES.finds("check_keys", "weights-keys-unexpected", "does not use", severity="info")
def head_of_another_class(bench: Bench) -> None:
    keys(bench, spare=ONE)


@CASES.finds("check_keys", "weights-keys-missing", "the pooler is not in the weights", severity="info")
def no_pooler(bench: Bench) -> None:
    keys(bench, idle=ONE)


@CASES.finds("check_keys", "weights-keys-unexpected", "match no parameter", severity="warning")
def unexpected_keys(bench: Bench) -> None:
    keys(bench, unexpected=ONE)


@CASES.finds("check_keys", "weights-keys-unexpected", "match no parameter", severity="info")
def of_a_class_of_another_library(bench: Bench) -> None:
    keys(bench, unexpected=ONE)
    write_full(bench.here, architectures=["HF_ColBERT"])
    bench.session = replace(SESSION, site_packages=(write_library(bench.root / "site-packages"),))


@CASES.finds("check_keys", "weights-keys-unexpected", "match no parameter", severity="info")
def layers_that_predict_further(bench: Bench) -> None:
    keys(bench, unexpected=KeyList(names=("model.layers.2.eh_proj.weight",), total=1))
    write_full(bench.here, num_hidden_layers=2, num_nextn_predict_layers=1)


def at_its_own_code(bench: Bench) -> None:
    ended(bench, "failed")
    said = "The repository here contains custom code which must be executed to correctly load the model."
    failure = Failure(kind="failed", type="ValueError", message=said, module="", where=())
    bench.outcome = replace(bench.outcome or COMPLETED, failure=failure)


@CASES.skips("check_loads", "blocked by custom-code")
def at_code_that_a_check_told_of(bench: Bench) -> None:
    at_its_own_code(bench)
    write_full(bench.here, auto_map={"AutoConfig": "configuration_own.OwnConfig"})


@CASES.finds("check_loads", "custom-code", "whether a session loads it was not examined", severity="warning")
def at_code_of_its_tokenizer(bench: Bench) -> None:
    at_its_own_code(bench)
    write_full(bench.here)


@CASES.finds("check_keys", "load-keys-mismatched", "is [31] on disk and [32] in the model")
def mismatched_keys(bench: Bench) -> None:
    keys(bench, mismatched=(ShapeMismatch(name="norm", on_disk=(31,), in_model=(32,)),), mismatched_total=1)


OF_A_LORA = replace(ONE, names=("base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight",))


def adapted(bench: Bench, **changes: Any) -> None:
    write_adapter(bench.here, write_full(bench.root / "base"))
    adapter = replace(Adapter(peft_type="LORA", missing=NOTHING, unexpected=NOTHING), **changes)
    bench.outcome = replace(COMPLETED, adapter=adapter)


@CASES.passes("check_keys")
def adapter_matched(bench: Bench) -> None:
    adapted(bench)


@CASES.finds("check_keys", "adapter-keys-unmatched", "were not loaded from its file")
def adapter_not_filled(bench: Bench) -> None:
    adapted(bench, missing=ONE, unexpected=ONE)


@CASES.finds("check_keys", "adapter-keys-unmatched", "in its file were not used")
def adapter_not_used(bench: Bench) -> None:
    adapted(bench, unexpected=OF_A_LORA)


@CASES.finds("check_keys", "adapter-keys-unmatched", "in its file were not used", severity="warning")
def value_head_not_used(bench: Bench) -> None:
    adapted(bench, unexpected=replace(ONE, names=("v_head.summary.weight",)))


@pytest.mark.parametrize("stored", ["q_proj", "query"])
def test_modules_that_the_library_renamed_are_merged(stored: str, tmp_path: Path) -> None:
    bench = Bench(root=tmp_path)
    adapted(bench, missing=ONE, unexpected=OF_A_LORA)
    write_full(tmp_path / "base", tensors={n.replace("q_proj", stored): s for n, s in WEIGHTS.items()})
    (found,) = bench.run("check_keys").findings
    assert ("`sage-doctor merge` applies it" in found.fix.summary) == (stored == "q_proj")


@pytest.mark.parametrize("stored", ["q_proj", "query"])
@pytest.mark.parametrize(
    "words, code",
    [
        ("Target module R() is not supported. Currently, only the following modules are supported: …", "load-failed"),
        ("Target modules ^a$ not found in the base model. Please check the target modules", "adapter-targets-missing"),
    ],
)
def test_a_module_that_is_built_otherwise_now_is_merged(stored: str, words: str, code: str, tmp_path: Path) -> None:
    bench = Bench(root=tmp_path)
    adapted(bench)
    bench.outcome = replace(
        COMPLETED, ending="failed", message=words, stage="load-adapter", loaded=None, keys=None, forward=None
    )
    write_full(tmp_path / "base", tensors={n.replace("q_proj", stored): s for n, s in WEIGHTS.items()})
    (found,) = bench.run("check_loads").findings
    assert found.code == code
    assert ("`sage-doctor merge` applies it" in found.fix.summary) == (stored == "q_proj")


@CASES.finds("check_placement", "params-not-materialised", "were not loaded into memory")
def on_meta(bench: Bench) -> None:
    probed(bench, loaded=replace(LOADED, on_meta=ONE, devices={"cpu": 2, "meta": 1}))


@CASES.finds("check_placement", "params-on-wrong-device", "1 parameter tensor(s) are not on cuda:0")
def left_behind(bench: Bench) -> None:
    device = replace(CPU, used="cuda:0")
    probed(bench, device=device, loaded=replace(LOADED, devices={"cuda:0": 2, "cpu": 1}))


@CASES.finds("check_placement", "accelerator-fallback", "would run on cpu", severity="error")
def fallen_back(bench: Bench) -> None:
    probed(bench, device=replace(CPU, problem="no CUDA-capable device is detected"))
    bench.manifest('accelerator = "cuda"\n[models.m]\nkind = "full"\npath = "here"\n', "m")


@CASES.passes("check_placement")
def declared_for_the_processor(bench: Bench) -> None:
    probed(bench)
    bench.manifest('accelerator = "cuda"\n[models.m]\nkind = "full"\npath = "here"\ndevice = "cpu"\n', "m")


@CASES.skips("check_keys", "did not report")
@CASES.skips("check_placement", "did not report")
def nothing_known(bench: Bench) -> None:
    ended(bench, "failed")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: Case, tmp_path: Path) -> None:
    case.hold(tmp_path)


def test_the_librarys_text_reaches_nobody_raw(tmp_path: Path) -> None:
    bench = Bench(root=tmp_path)
    ended(bench, "failed")
    assert isinstance(bench.outcome, ProbeOutcome)
    bench.outcome = replace(bench.outcome, message="\x1b[2J gone \udcff\u202e")
    (found,) = bench.run("check_loads").findings
    assert found.message.isprintable()


def test_a_package_that_is_not_as_it_was_installed_is_installed_again(tmp_path: Path) -> None:
    """An upgrade of transformers that was cut off: files of its record are missing."""
    site = tmp_path / "site-packages"
    for name in ("transformers-5.23.0", "torch-2.13.0"):
        (site / f"{name}.dist-info").mkdir(parents=True)
        (site / f"{name}.dist-info/RECORD").write_text(f"{name.partition('-')[0]}/modeling.py,sha256=x,10\n")
    bench = Bench(root=tmp_path)
    failed(bench)
    packages = {**SESSION.packages, "transformers": "5.23.0", "torch": "2.13.0"}
    bench.session = replace(SESSION, site_packages=(site,), packages=packages)
    fix = bench.run("check_loads").findings[0].fix
    assert "torch 2.13.0 (torch/modeling.py); transformers 5.23.0 (transformers/modeling.py)" in fix.summary
    assert [c.partition(" -m ")[2] for c in fix.commands] == [
        "pip install --force-reinstall --no-deps transformers==5.23.0"
    ]


def test_what_the_message_surely_means_is_the_fix(tmp_path: Path) -> None:
    bench = Bench(root=tmp_path)
    failed(bench)
    failure = Failure(kind="failed", type="RuntimeError", message="can't start new thread", module="", where=())
    bench.outcome = replace(bench.outcome or COMPLETED, failure=failure)
    assert "TasksMax=" in bench.run("check_loads").findings[0].fix.summary


def test_what_python_path_brings_is_named(tmp_path: Path) -> None:
    bench = Bench(root=tmp_path)
    import_failed(bench)
    bench.environ["PYTHONPATH"] = "/opt/old"
    assert "PYTHONPATH (/opt/old)" in bench.run("check_loads").findings[0].fix.summary


def test_a_library_that_ld_library_path_brings_is_named(tmp_path: Path) -> None:
    bench = Bench(root=tmp_path)
    import_failed(bench)
    bench.environ["LD_LIBRARY_PATH"] = "/opt/cuda/lib64:/opt/ll"
    said = "cannot import torch: OSError: /opt/ll/libgomp.so.1: file too short"
    bench.outcome = replace(bench.outcome or COMPLETED, message=said)
    assert "what is in /opt/ll: LD_LIBRARY_PATH" in bench.run("check_loads").findings[0].fix.summary
