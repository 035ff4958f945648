"""A manifest for what is below some directories: models, the scripts that load them, machines.

    inventory = take_inventory(roots, manifest_path, …)  # facts, names and pairs; asks what only a person knows
    tables = new_tables(inventory)                       # the tables to add, each valid and commented

`launchers`, a package of its own, reads code. `roles` gathers the scripts that start sessions, `role_models` says which
models they load, and where those are. `names` gives names, `portable_paths` writes paths that work on other machines,
`pairs` links adapters with bases and merged models with both, `machines` proposes tables, `draft` writes them
and `additions` appends them to the manifest.
"""

from __future__ import annotations
