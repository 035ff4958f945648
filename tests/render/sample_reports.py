"""Reports as runs make them, for the golden files."""

from __future__ import annotations

import dataclasses

from sage_doctor.report import (
    Change,
    CheckResult,
    Finding,
    Fix,
    Level,
    MachineInfo,
    Measurement,
    ModelInfo,
    Report,
    RoleInfo,
    Status,
    conclude,
)

ZOO = "/home/dp/ai-workspace/HRM/model-zoo/sage/epistemic-stances/qwen2.5-0.5b"
MERGED = f"{ZOO}/introspective-qwen-merged"
MERGE_COMMAND = (
    f"sage-doctor merge {ZOO}/Introspective-Qwen-0.5B-v2.1/model "
    f"--base '/home/dp/ai-workspace/model zoo/qwen2.5-0.5b-instruct' --out {MERGED}"
)


def results(subject: str, ended: dict[str, tuple[Level, Status]], reason: str = "") -> list[CheckResult]:
    """Return one result a check; `reason` goes to those that were skipped or did not end."""
    return [
        CheckResult(
            id=name,
            subject=subject,
            level=level,
            status=status,
            duration_s=0.004,
            reason=reason if status in ("skip", "error") else None,
        )
        for name, (level, status) in ended.items()
    ]


def report(
    checks: list[CheckResult],
    findings: list[Finding] | None = None,
    measurements: list[Measurement] | None = None,
    answers: dict[str, str] | None = None,
    level: Level = "generate",
) -> Report:
    """Return a report of the machine thor with verdict and exit code as a run would decide them."""
    verdict, exit_code = conclude(checks, findings or [])
    return Report(
        doctor={"version": "0.1.0", "python": "3.10.12"},
        machine=MachineInfo(
            name="thor",
            hostname="thor-agx",
            roles=("analysis", "raising"),
            accelerator="cuda",
            boot_id="7f9c",
            platform="Linux aarch64",
            memory_bytes=131_000_000_000,
        ),
        started_at="2026-01-17T18:05:12+00:00",
        duration_s=6.1234,
        level=level,
        verdict=verdict,
        exit_code=exit_code,
        checks=tuple(checks),
        findings=tuple(findings or ()),
        measurements=tuple(measurements or ()),
        answers=answers or {},
    )


MACHINE_CHECKS = results(
    "machine",
    {
        "check_interpreter": ("static", "pass"),
        "check_packages": ("static", "pass"),
        "check_accelerator": ("static", "pass"),
        "check_disk": ("static", "pass"),
        "check_driver": ("static", "skip"),
    },
    "no NVIDIA driver file on this platform",
)


def well(subject: str) -> list[CheckResult]:
    """Return the results of a model that is well at every level."""
    return results(
        subject,
        {
            "check_path": ("static", "pass"),
            "check_config": ("static", "pass"),
            "check_weights": ("static", "pass"),
            "check_hashes": ("integrity", "pass"),
            "check_load": ("load", "pass"),
            "check_generate": ("generate", "pass"),
        },
    )


BASE_MEASUREMENTS = [
    Measurement(
        subject="qwen2.5-0.5b",
        name="load_s",
        value=0.8123,
        unit="s",
        budget=30,
        history=(0.79, 0.84, 0.8, 0.91, 0.78, 0.8, 0.83, 0.81),
    ),
    Measurement(subject="qwen2.5-0.5b", name="first_token_ms", value=212.4, unit="ms", budget=1500),
    Measurement(
        subject="qwen2.5-0.5b", name="tokens_per_s", value=38.22, unit="tokens/s", budget=5, history=(41.0, 39.5, 40.2)
    ),
    Measurement(subject="qwen2.5-0.5b", name="peak_memory_gb", value=1.234, unit="GB"),
]
BASE_ANSWER = {"qwen2.5-0.5b": "I am Qwen, a large language model.\nHow can I help you today?"}


def with_roles(found: Report, **roles: tuple[str, ...]) -> Report:
    """Return the report with the roles of its machine, and a model for each name that they need."""
    names = dict.fromkeys(n for needed in roles.values() for n in needed)
    infos = (ModelInfo(name=n, kind="full", path=f"{ZOO}/{n}", nbytes=988_097_824, weights="ab" * 32) for n in names)
    needs = (RoleInfo(name=r, here=r in found.machine.roles, models=needed) for r, needed in roles.items())
    return dataclasses.replace(found, models=tuple(infos), roles=tuple(needs))


def healthy() -> Report:
    found = report(MACHINE_CHECKS + well("qwen2.5-0.5b"), [], BASE_MEASUREMENTS, BASE_ANSWER)
    return with_roles(found, analysis=("qwen2.5-0.5b",), raising=("qwen2.5-0.5b",))


def incident() -> Report:
    """The evening at Thor: a merged model without weights, and an adapter whose base is elsewhere."""
    merged = results(
        "introspective-qwen",
        {
            "check_path": ("static", "pass"),
            "check_config": ("static", "pass"),
            "check_weights": ("static", "fail"),
            "check_headers": ("static", "skip"),
            "check_hashes": ("integrity", "skip"),
            "check_load": ("load", "skip"),
            "check_generate": ("generate", "skip"),
        },
        "blocked by weights-missing",
    )
    adapter = results(
        "introspective-qwen-v2.1",
        {
            "check_path": ("static", "pass"),
            "check_adapter": ("static", "pass"),
            "check_adapter_base": ("static", "fail"),
            "check_adapter_shapes": ("static", "skip"),
            "check_load": ("load", "skip"),
            "check_generate": ("generate", "skip"),
        },
        "blocked by adapter-base-missing",
    )
    slow = results("qwen2.5-0.5b-old", {"check_config": ("static", "warn"), "check_load": ("load", "fail")})
    findings = [
        Finding(
            code="adapter-base-missing",
            severity="error",
            subject="introspective-qwen-v2.1",
            check="check_adapter_base",
            message="adapter_config.json asks for './fine_tuned_model/final_model', which is neither a directory "
            "from any place a loader would look nor a model in the Hugging Face cache",
            evidence={
                "base": "./fine_tuned_model/final_model",
                "candidates": [
                    {"path": "/home/dp/ai-workspace/model zoo/qwen2.5-0.5b-instruct", "why": "named in the manifest"},
                    {
                        "path": "/home/dp/ai-workspace/HRM/training/fine_tuned_model/final_model",
                        "why": "the same trailing path under another root",
                    },
                    "hf:Qwen/Qwen2.5-0.5B-Instruct",
                    "hf:Qwen/Qwen2.5-0.5B",
                    "/home/dp/models/c",
                    "/home/dp/models/d",
                    "/home/dp/models/e",
                ],
            },
            fix=Fix(
                summary='write `base = "qwen2.5-0.5b"` under [models."introspective-qwen-v2.1"] in sage-doctor.toml'
            ),
        ),
        Finding(
            code="weights-missing",
            severity="error",
            subject="introspective-qwen",
            check="check_weights",
            message=f"{MERGED} holds no weights, only configuration and tokenizer",
            evidence={"path": MERGED, "present": ["config.json", "tokenizer.json", "tokenizer_config.json"]},
            fix=Fix(
                summary="merge the adapter into its base again; nothing is replaced before the result is verified",
                commands=("sage-doctor fix introspective-qwen", MERGE_COMMAND),
                repair="merge",
            ),
        ),
        Finding(
            code="load-over-budget",
            severity="error",
            subject="qwen2.5-0.5b-old",
            check="check_load",
            message="loading took 41 s, 11 s more than its budget",
            fix=Fix(summary="compare with a second run, which reads from memory instead of disk"),
        ),
        Finding(
            code="weights-ambiguous",
            severity="warning",
            subject="qwen2.5-0.5b-old",
            check="check_config",
            message="model.safetensors lies beside shards and will be loaded instead of them",
            evidence={"ignored": [f"model-0000{n}-of-00009.safetensors" for n in range(1, 10)]},
            fix=Fix(summary="move the set that is not meant out of the directory"),
        ),
        Finding(
            code="weights-unverified",
            severity="info",
            subject="qwen2.5-0.5b",
            check="check_hashes",
            message="no hash is on record for model.safetensors",
            fix=Fix(summary="record it once the model is known to work", commands=("sage-doctor lock qwen2.5-0.5b",)),
        ),
    ]
    measurements = [
        *BASE_MEASUREMENTS,
        Measurement(
            subject="qwen2.5-0.5b-old", name="load_s", value=41.02, unit="s", budget=30, history=(12.1, 13.4, 12.0)
        ),
        Measurement(subject="qwen2.5-0.5b-old", name="tokens_per_s", value=3.1, unit="tokens/s", budget=5),
    ]
    checks = MACHINE_CHECKS + adapter + merged + slow + well("qwen2.5-0.5b")
    raising = ("introspective-qwen", "introspective-qwen-v2.1", "qwen2.5-0.5b-old")
    found = report(checks, findings, measurements, BASE_ANSWER)
    return with_roles(found, analysis=("qwen2.5-0.5b",), raising=raising)


def unknown() -> Report:
    """A deadline passed while a model was loading; everything else was well."""
    hung = results(
        "qwen2.5-0.5b",
        {"check_path": ("static", "pass"), "check_load": ("load", "error")},
        "the deadline of the run (60 s) passed while the model was loading",
    )
    return report(MACHINE_CHECKS + hung, level="load")


def nothing() -> Report:
    """Every check was skipped: nothing is known."""
    return report(results("machine", {"check_disk": ("static", "skip")}, "not a file system"), level="static")


def hostile() -> Report:
    """Text from a model directory that wants to draw on the screen, run as markup, or break XML."""
    name = "evil\x1b[2J\x07\u202egnp\udcff[red]"
    findings = [
        Finding(
            code="acme-[bold]code",
            severity="error",
            subject=name,
            check="check_[link=x]",
            message="file '\x1b]0;owned\x07a\r\nb\x00\u2028' says [red]all is well[/red] <script>&amp;]]>\ufffe",
            evidence={
                "missing": ["\x1b[31mred", "[blink]x[/blink]"],
                "candidates": [{"path": "\udc80", "why": "\x9b2J"}],
            },
            fix=Fix(summary="remove [it]\x1b[0m", commands=("rm -- $'evil\\x1b[2J'",)),
        ),
    ]
    return report(results(name, {"check_[link=x]": ("static", "fail")}), findings, answers={name: "\x1b[5m[i]ha\x08"})


def crowd() -> Report:
    """Forty healthy models and one that only has a warning."""
    checks = [*MACHINE_CHECKS]
    for number in range(40):
        checks += well(f"model-{number:02}")
    checks += results("model-warned", {"check_code": ("static", "warn")})
    warned = Finding(
        code="custom-code",
        severity="warning",
        subject="model-warned",
        check="check_code",
        message="config.json names modeling_evil.py, which loading would run",
        fix=Fix(summary="read the file, then pin the revision"),
    )
    return report(checks, [warned])


def changed() -> Report:
    """A model that loads no longer, and everything that is not as it was when it did."""
    failed = Finding(
        code="load-failed",
        severity="error",
        subject="qwen2.5-0.5b",
        check="check_load",
        message="loading it failed in stage load: KeyError: 'qwen2'",
        fix=Fix(summary="see what changed since it last worked"),
    )
    checks = results("qwen2.5-0.5b", {"check_path": ("static", "pass"), "check_load": ("load", "fail")})
    one = {"subject": "machine"}
    changes = (
        Change(subject="qwen2.5-0.5b", what="file model.safetensors", before="269.1 MB of 2026-01-02 09:12:44 UTC"),
        Change(subject="qwen2.5-0.5b", what="file \x1b[2Jevil", after="12 bytes of 2026-01-17 18:00:00 UTC"),
        Change(**one, what="transformers", before="4.57.1", after="5.23.0"),
        Change(**one, what="rebooted"),
        *(Change(**one, what=f"package-{n}", before="1", after="2") for n in range(7)),
    )
    found = report(MACHINE_CHECKS + checks, [failed])
    return dataclasses.replace(found, changes=changes, changes_since="2026-01-15T14:31:00+00:00")


def unchanged() -> Report:
    """The same, and nothing to show for it."""
    return dataclasses.replace(changed(), changes=())


REPORTS = {f.__name__: f for f in (healthy, incident, unknown, nothing, hostile, crowd, changed, unchanged)}
