"""The manifest `sage-doctor.toml`: which models this machine is meant to run, where they are, and what they may cost.

    path = find_manifest(Path.cwd(), os.environ)
    manifest = load_for_host(path)             # ManifestError: every problem, as file:line: message
    for name in manifest.required(): manifest.models[name].path

`keys` describes every key: `json_schema` and the tables of `docs/manifest.md` are made from it, and `tables` reads
typed values by it. `toml_lines` finds the lines of keys. `raw_models` and `machines` hold what is written; `variables`,
`resolver` and `locations` give it its meaning on this host; `references` and `models` check that names lead somewhere.
"""
