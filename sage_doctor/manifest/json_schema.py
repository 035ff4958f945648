"""The JSON Schema of the manifest, for editors and for what `init` writes, made from the table of keys.

To write it anew: `python -m sage_doctor.manifest.json_schema > sage_doctor/schemas/manifest.schema.json`
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from typing import Any, Final

from sage_doctor.manifest import durations, keys
from sage_doctor.manifest.key_table import Key, KeyTable
from sage_doctor.manifest.model_keys import MODEL, OVERRIDE
from sage_doctor.manifest.names import BUILT_IN

_TEXT: Final = {"type": "string", "minLength": 1}
_NOTHING_ODD: Final = r"\u0000-\u001f\u007f-\u009f"
_DEFINITIONS: Final[dict[str, Any]] = {
    "name": {
        "description": 'A name with dots is best written in quotes: [models."qwen2.5-0.5b"].',
        "type": "string",
        "maxLength": 200,
        "pattern": rf"^(?!machine$)(?!hf:)(?![-.~{{\s])[^/{_NOTHING_ODD}]*[^/\s{_NOTHING_ODD}]$",
    },
    "machineName": {"maxLength": 200, "pattern": rf"^(?!\s)[^{_NOTHING_ODD}]*[^\s{_NOTHING_ODD}]$"},
    "vars": {
        "type": "object",
        "propertyNames": {"pattern": rf"^(?!({'|'.join(BUILT_IN)})$)[A-Za-z_][A-Za-z0-9_-]*$"},
        "additionalProperties": {
            "description": "May use `~/`, other `{variables}` and `{env:NAME}`.",
            "type": "string",
        },
    },
    "duration": {
        "description": "`90s`, `15m`, `26h`, `3d`, `1d 12h`, or a number of seconds; at most 100 years.",
        "anyOf": [
            {"type": "number", "exclusiveMinimum": 0, "maximum": int(durations.MOST)},
            {
                "type": "string",
                "pattern": r"^(?=.*[1-9])\s*([0-9]{1,12}(\.[0-9]{1,6})?"
                r"|([0-9]{1,9}(\.[0-9]{1,6})?\s*[smhdwSMHDW]\s*)+)\s*$",
            },
        ],
    },
    "requires": {
        "description": "Requirements as pip takes them (PEP 508), such as `transformers>=4.45`.",
        "type": "array",
        "items": {**_TEXT, "maxLength": 1000, "pattern": r"^\s*[A-Za-z0-9]"},
    },
}
_SHAPES: Final[Mapping[str, Mapping[str, Any]]] = {
    "version": {"type": "integer", "const": keys.SCHEMA},
    "remark": {"type": "string"},
    "number": {"type": "number", "exclusiveMinimum": 0},
    "count": {"type": "integer", "minimum": 1, "maximum": 2**31 - 1},
    **{name: {"$ref": f"#/$defs/{name}"} for name in ("duration", "requires", "vars")},
}


def manifest_schema() -> dict[str, Any]:
    """Return the schema."""
    definitions = dict(_DEFINITIONS)
    top = _table(keys.TOP, definitions)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "sage-doctor manifest",
        "description": "sage-doctor.toml: the machines, roles and models of a fleet, and what the models may cost.",
        **top,
        "$defs": definitions,
    }


def schema_faults(data: Mapping[str, Any]) -> list[str]:
    """Return what a manifest, read from TOML, has that the schema refuses."""
    import jsonschema  # noqa: PLC0415 - only what writes a manifest pays for it

    found = jsonschema.Draft202012Validator(manifest_schema()).iter_errors(data)
    return [f"{'.'.join(map(str, error.absolute_path)) or 'top level'}: {error.message}" for error in found]


def _table(table: KeyTable, definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a table; those of its named tables go to the definitions."""
    properties = {}
    for key in table.keys:
        properties[key.name] = _property(key, definitions)
        if key.old:
            old = {**_property(key, definitions), "deprecated": True}
            properties[key.old] = {**old, "description": f"The former name of `{key.name}`."}
    required = [key.name for key in table.keys if key.required and key.only is None]
    return {
        "type": "object",
        "additionalProperties": False,
        **({"required": required} if required else {}),
        "properties": properties,
        **_between_keys(table),
    }


def _property(key: Key, definitions: dict[str, Any]) -> dict[str, Any]:
    return {
        "description": key.about,
        **_shape(key, definitions),
        **({"default": key.default} if key.default is not None else {}),
        **({"examples": [key.example]} if key.example is not None else {}),
    }


def _shape(key: Key, definitions: dict[str, Any]) -> Mapping[str, Any]:
    if key.type in _SHAPES:
        return _SHAPES[key.type]
    if key.choices:
        return {"enum": list(key.choices)}
    if key.table is not None:
        return _named(key.table, definitions) if key.type == "tables" else _section(key, key.table, definitions)
    pattern = key.pattern if key.type == "place" else f"^(?:{key.pattern})$"
    text = {**_TEXT, **({"pattern": pattern} if key.pattern else {})}
    texts = {"type": "array", **({"minItems": 1} if key.required else {}), "items": text}
    if " or " in key.type:
        return {"anyOf": [text, texts]}
    return texts if key.type in ("texts", "places") else text


def _section(key: Key, table: KeyTable, definitions: dict[str, Any]) -> Mapping[str, Any]:
    if key.name != "budget":
        return _table(table, definitions)
    definitions.setdefault("budget", _table(table, definitions))  # four tables have one
    return {"$ref": "#/$defs/budget"}


def _named(table: KeyTable, definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of tables by name. A dot in a name without quotes makes trees of tables of them."""
    name = "override" if table is OVERRIDE else table.noun
    if name not in definitions:
        definitions[name] = {}  # its place in the order
        definitions[name] = _table(table, definitions)
        definitions[f"{name}Tree"] = {
            "type": "object",
            "if": _any_of(table.marks or (*table.names, *_old(table))),
            "then": {"$ref": f"#/$defs/{name}"},
            "else": {
                "propertyNames": {"minLength": 1},
                "additionalProperties": {"$ref": f"#/$defs/{name}Tree"},
                **({"minProperties": 1} if any(key.required for key in table.keys) else {}),
            },
        }
    names = "machineName" if name == "machine" else "name"
    return {
        "type": "object",
        "propertyNames": {"$ref": f"#/$defs/{names}"},
        "additionalProperties": {"$ref": f"#/$defs/{name}Tree"},
    }


def _between_keys(table: KeyTable) -> dict[str, Any]:
    """Return what the keys of a table demand of each other."""
    rules: list[dict[str, Any]] = [{"not": {"required": [key.name, key.old]}} for key in table.keys if key.old]
    if table is MODEL:
        directory, service = _only(table, "directory"), _only(table, "service")
        rules += [
            {"if": {"required": ["merge"]}, "then": _kind({"const": "merged"})},
            {"if": _any_of(service), "then": _kind({"const": "service"})},
            {"if": _any_of(directory), "then": _kind({"not": {"const": "service"}})},
            _any_of(key.name for key in table.keys if key.required and key.only),
        ]
    if table is keys.STATE:
        rules += [{"dependentRequired": {name: ["counter"] for name in ("min_from_glob", "at_least")}}]
    return {"allOf": rules} if rules else {}


def _kind(schema: dict[str, Any]) -> dict[str, Any]:
    return {"properties": {"kind": schema}}


def _only(table: KeyTable, whose: str) -> list[str]:
    return [name for key in table.keys if key.only == whose for name in (key.name, key.old) if name]


def _old(table: KeyTable) -> tuple[str, ...]:
    return tuple(key.old for key in table.keys if key.old)


def _any_of(names: Iterable[str]) -> dict[str, Any]:
    return {"anyOf": [{"required": [name]} for name in names]}


def schema_text() -> str:
    """Return the schema as the committed file holds it: each key on one line."""
    return _written(manifest_schema(), "") + "\n"


def _written(value: Mapping[str, Any], indent: str) -> str:
    lines = []
    for name, inner in value.items():
        line = json.dumps(inner, ensure_ascii=False)
        if name in ("properties", "$defs") or '"additionalProperties": false' in line:
            line = _written(inner, indent + "  ")
        lines.append(f"{indent}  {json.dumps(name)}: {line}")
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}"


if __name__ == "__main__":
    sys.stdout.write(schema_text())
