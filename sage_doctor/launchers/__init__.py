"""What a project's own code says about its sessions: the scripts that start them, and the models that they load.

    code = read_code(roots)                  # every script, unit and job below the roots, read once and never run
    starters = read_starters(code)           # units, jobs and shell scripts: what they start, and where
    uses = models_loaded(script, code)       # the models that a Python script loads, as its code writes them

`program` follows a value through names, parameters, options, classes and one level of the project's own modules.
"""

from __future__ import annotations
