"""What lies below some directories, as a manifest would say it: models, the scripts that load them, machines.

    survey = survey_of(roots, manifest_path, …)     # facts, names and pairs; asks what only a person knows
    text = drafted(survey)                          # the tables that are new, each valid and commented

`scripts` reads code, `names` calls things, `places` writes paths that hold on other machines, `pairs` joins adapters
with bases and merged models with both, `roles` and `machines` propose tables, `draft` writes them down.
"""

from __future__ import annotations
