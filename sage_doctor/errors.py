"""The errors a person may see: each says what is wrong, where, and what to do next."""

from __future__ import annotations


class DoctorError(Exception):
    """Something stopped the doctor before or outside the checks.

    `exit_code` is what the command line exits with; the text is shown as it is, without a traceback.
    """

    exit_code = 3


class UsageError(DoctorError):
    """The command or the request makes no sense as it stands: nothing was checked."""

    exit_code = 2


class ManifestError(UsageError):
    """The manifest cannot be used. `problems` holds one `file:line: message` line for each thing wrong."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class NothingSelected(DoctorError):
    """There is nothing to examine: no manifest, no model directory, or a role without models (exit 3)."""


class Blocked(Exception):
    """Raised inside a check whose subject cannot be judged because of a cause reported elsewhere.

    `code` is the finding code of that cause; the check becomes `skip` with `blocked by CODE`.
    """

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(f"blocked by {code}")


class NotApplicable(Exception):
    """Raised inside a check that has nothing to say about this subject; the text becomes the skip's reason."""


class ModelNotFound(DoctorError):
    """A model that a script asked for is not complete on this machine; the text is the doctor's finding."""

    exit_code = 1
