"""`sage-doctor.lock`: what each model was when it was last known to be right, so that a change is noticed and named.

    entries = read_lock(path)                    # LockError: every problem, by line
    now = record_models(models, …)               # sizes, hashes, headers, origin
    for change in changes_between(entries["x"], now["x"]): …

`entry` has the values and writes them, `parse` reads them, `record` takes them from disk, `differences` says in words
how two of them differ.
"""

from __future__ import annotations

from typing import Final

LOCK_NAME: Final = "sage-doctor.lock"
