"""The manifest's JSON Schema, for editors: the forms that may be written, not what the model makes of it."""

from __future__ import annotations

from typing import cast

from pydantic.json_schema import models_json_schema

from projctl.model import Project, Settings
from projctl.names import NAME_PATTERN, RESERVED_NAMES

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_Schema = dict[str, object]


def schema() -> _Schema:
    """The JSON Schema (draft 2020-12) of a whole manifest."""
    _, found = models_json_schema([(Settings, "validation"), (Project, "validation")])
    definitions = cast("dict[str, _Schema]", found["$defs"])
    # Of the model's own form; pydantic before 2.11 lists it although nothing refers to it.
    definitions.pop("Variable", None)
    for definition in definitions.values():
        _as_written(definition)
    project = definitions["Project"]
    cast("dict[str, _Schema]", project["properties"]).pop("name")
    project["required"] = ["path", "run"]
    return {
        "$schema": _DIALECT,
        "title": "projctl manifest",
        "type": "object",
        "properties": {
            "version": {"const": 1, "description": "the version of this format"},
            "defaults": {
                "$ref": "#/$defs/Settings",
                "description": "what every project of the file inherits",
            },
            "projects": _projects(),
        },
        "required": ["version"],
        "additionalProperties": False,
        "$defs": definitions,
    }


def _projects() -> _Schema:
    return {
        "type": "object",
        "description": "the projects, by name",
        "propertyNames": {"pattern": f"^{NAME_PATTERN}$", "not": {"enum": sorted(RESERVED_NAMES)}},
        "additionalProperties": {"$ref": "#/$defs/Project"},
    }


def _as_written(definition: _Schema) -> None:
    """Takes out titles, defaults in the model's own form, and null, which no manifest may say."""
    definition.pop("title", None)
    properties = cast("dict[str, _Schema]", definition.get("properties", {}))
    for key, value in properties.items():
        value.pop("title", None)
        value.pop("default", None)
        choices = cast("list[_Schema]", value.pop("anyOf", []))
        kept = [choice for choice in choices if choice != {"type": "null"}]
        if len(kept) == 1:
            value.update(kept[0])
        elif kept:
            value["anyOf"] = kept
        if key == "idle":
            short = {"type": ["string", "number"], "description": "short for `stop`"}
            value["anyOf"] = [short, {"$ref": value.pop("$ref")}]
