"""What only a log tells of the system around a session: units, network, limits, ports, programs and packages."""

from __future__ import annotations

from sage_doctor.findings.declaration import Declaration, declare
from sage_doctor.findings.system_texts import refused

DECLARATIONS = declare(
    Declaration(
        code="unit-refused",
        severity="error",
        title="systemd cannot start the service as its unit says",
        cause="A user, a group, a directory or a right that the unit names does not exist here, or a line of it is "
        "wrong. "
        "Nothing of the session has run yet.",
        remediation="`systemd-analyze verify UNIT` names wrong lines, `journalctl -u UNIT -b` the failed step. Correct "
        "it (User=, Group=, ReadWritePaths=, …), then `systemctl daemon-reload`.",
        shows=(
            r"Main process exited, code=exited, status=(216/GROUP|217/USER|218/\w{1,20}|226/NAMESPACE|238/\w{1,20})",
            r"Failed at step (USER|GROUP|NAMESPACE|CAPABILITIES|CGROUP|STATE_DIRECTORY|RUNTIME_DIRECTORY) spawning",
            r"\(code=exited, status=(216/GROUP|217/USER|218/CAPABILITIES|226/NAMESPACE|238/\w{1,20})\)",
            *(r"Unit \S{1,120} has a bad unit file setting", r"Failed to determine user credentials"),
            *(r"Failed to set up mount namespacing", r"Service has no ExecStart=, "),
        ),
    ),
    Declaration(
        code="unit-gave-up",
        severity="error",
        title="systemd has given up restarting the service",
        cause="The service ended so often within a few seconds that systemd no longer starts it, not even once its "
        "cause is gone. That cause is in the log of the first start.",
        remediation="`journalctl -u UNIT -b` shows the first failure. Repair that, then `systemctl reset-failed "
        "UNIT` and "
        "`systemctl start UNIT`. RestartSec= gives a slow start more time.",
        follows=(r"Start request repeated too quickly", r"Failed with result 'start-limit-hit'"),
    ),
    Declaration(
        code="network-unreachable",
        severity="error",
        title="A server cannot be reached",
        cause="The name has no address here, no route leads to it, or its certificate is not trusted: no network yet "
        "at boot, a proxy that is not set, or one with a certificate of its own.",
        remediation="Check the network from the session's environment (`curl -sv URL`). Set HTTPS_PROXY, or "
        "SSL_CERT_FILE for a proxy's certificate, in the unit; offline, set HF_HUB_OFFLINE=1.",
        shows=(
            r"\[Errno -[235]\] (Temporary failure in name resolution|Name or service not known|No address associated)",
            *(r"Temporary failure in name resolution", r"Failed to resolve '\S{1,200}'"),
            *refused("Network is unreachable", "No route to host", "Connection timed out", "getaddrinfo failed"),
            *(r"getaddrinfo (ENOTFOUND|EAI_AGAIN)", r"Connection broken: IncompleteRead"),
            r"net/http: TLS handshake timeout",
            *(r"dial tcp \S{1,60}: i/o timeout", r"^Error: max retries exceeded"),
            r"part \d{1,5} attempt \d{1,3} failed: ",
            *(r"certificate verify failed: ", r"x509: certificate signed by unknown authority"),
            r"dial tcp: lookup \S{1,200}.{0,60}?: (no such host|server misbehaving)",
            r"HTTPSConnectionPool\(host='\S{0,60}(huggingface|hf)\.co', port=443\): Read timed out\. \(read timeout=",
            r"Couldn't reach https?://\S{1,200}",
            r"Cannot connect to host \S{1,200}:\d{1,5} ssl:\S{1,20} \[(Name or service|Temporary failure|getaddrinfo)",
            r"CAS service error : (ReqwestMiddleware Error: |IO Error: |Reqwest Error: )",
        ),
        may_show=(
            *(r"Data processing error: CAS service error : ", r"CAS Client Error: "),
            *(r"There was a specific connection error when trying to load", r"Max retries exceeded with url"),
            *(r"\[Errno 104\] Connection reset by peer", r"read: connection reset by peer"),
        ),
    ),
    Declaration(
        code="limit-reached",
        severity="error",
        title="The session reached a limit of its processes",
        cause="A limit on open files, processes, locked memory or shared memory is lower than what the session needs. "
        "systemd, containers and login shells set different ones.",
        remediation="Compare `ulimit -a` there with a shell where it works. Raise it in the unit (LimitNOFILE=, "
        "LimitNPROC=, TasksMax=) or the container (--ulimit, --shm-size).",
        shows=(
            *refused("Too many open files", "Too many open files in system", "Resource temporarily unavailable"),
            *(r"Too many open files\. Communication with the workers", r"RuntimeError: can't start new thread"),
            *(r"unable to allocate shared memory\(shm\) for file", r"dataloader's workers are out of shared memory"),
            r"OpenBLAS blas_thread_init: pthread_create failed",
        ),
    ),
    Declaration(
        code="package-uninstallable",
        severity="error",
        title="A package cannot be installed here",
        cause="The index that was asked has no build for this Python, system and processor, the build from source "
        "failed, versions exclude each other, or the system keeps its own Python from pip.",
        remediation="Install in an environment of the sessions' own, with a Python that the package's page names. "
        "Builds of torch for CUDA, ROCm or Jetson are on their vendors' indexes (`--index-url`). What a build lacks "
        "stands above this line.",
        shows=(
            *(r"No matching distribution found for ", r"Could not find a version that satisfies the requirement"),
            *(r"error: externally-managed-environment", r"ResolvePackageNotFound: ", r"PackagesNotFoundError: "),
            *(r"No solution found when resolving dependencies", r"ResolutionImpossible", r"UnsatisfiableError: "),
            *(r"Failed building wheel for \S{1,80}", r"Could not build wheels for \S{1,80}"),
            *(r"Failed to build `?\S{1,80}==", r"is not a supported wheel on this platform"),
        ),
        follows=(r"error: (metadata-generation-failed|subprocess-exited-with-error)",),
    ),
    Declaration(
        code="command-missing",
        severity="error",
        title="A program is not found on PATH",
        cause="It is not installed, or is where only a login shell looks: cron, systemd and containers have a short "
        "PATH of their own.",
        remediation="`command -v NAME` in a shell where it works says where it is. Name it by its whole path, or set "
        "PATH in the unit, the crontab or the image; otherwise install it.",
        shows=(
            *(r"[\w./+-]{1,100}: command not found$", r": \d{1,5}: [\w./+-]{1,100}: not found$"),
            *(r"command not found: [\w./+-]{1,100}$", r"executable file not found in \$PATH"),
            r"'[^'\n]{1,200}' is not recognized as an internal or external command",
        ),
    ),
    Declaration(
        code="port-taken",
        severity="error",
        title="Another program has the service's port",
        cause="The service ends at once because its address is in use: an older instance still runs, or another "
        "program took the port.",
        remediation="`ss -ltnp` shows who has it. End the old instance, or give the service another port.",
        shows=(
            r"\[Errno 98\] .{0,80}?address already in use",
            *refused("Address already in use"),
            r"EADDRINUSE.{0,40}?: address already in use",
            *(r"zmq\.error\.ZMQError: Address already in use", r"Only one usage of each socket address"),
            *(r"couldn't bind (to )?(HTTP )?server socket", r"error while attempting to bind on address \("),
        ),
    ),
)
