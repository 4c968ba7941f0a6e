"""The JSON Schema says of manifests what the loader says, as far as a schema can."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jsonschema
import pytest
import yaml

from projctl import manifest
from projctl.model import Project, Settings

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = manifest.schema()

GOOD = [
    "{version: 1}",
    "{version: 1, projects: {}}",
    "{version: 1, projects: {blog: {path: /srv/blog, run: gunicorn blog:app}}}",
    """
version: 1
defaults: {ports: [5001-5100, 6001-6100], idle: 1h, sandbox: strict}
projects:
  shop:
    path: /srv/shop
    run: [uvicorn, "shop:app"]
    listen: {public: 3400, admin: "auto:3401-3409"}
    server: uvicorn
    user: shop
    env: {GREETING: "100%"}
    env_file: /etc/shop.env
    idle: {stop: never, min_uptime: 60}
    start_timeout: 30
    stop_timeout: 1.5
    max_runtime: 24h
    limits: {memory: 512M, cpu: 50%, tasks: 64, threads: 1}
    sandbox: "off"
    ports: 5001-5100
""",
]
ONE = "{{version: 1, projects: {{shop: {{path: /srv, run: x, {}}}}}}}"
BAD = [
    "[]",
    "{projects: {}}",
    "{version: 2}",
    "{version: 1, project: {}}",
    "{version: 1, projects: {Shop: {path: /srv, run: x}}}",
    "{version: 1, projects: {agent: {path: /srv, run: x}}}",
    "{version: 1, projects: {shop: {path: /srv}}}",
    "{version: 1, projects: {shop: {run: x}}}",
    "{version: 1, defaults: {run: x}}",
    *(
        ONE.format(key)
        for key in (
            *("lisen: 1", "name: shop", "run: 5", "run: []", "user: null", "sandbox: some", "env: {A: 1}"),
            *("idle: {stop_: 1}", "idle: []", "limits: {tasks: 0}", "limits: 5", "ports: [5]", "listen: [1]"),
        )
    ),
]


def complaints(text: str, directory: Path) -> list[str]:
    file = directory / "m.yaml"
    file.write_text(text)
    return [problem.message for problem in manifest.load([file], layered=True)[1]]


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == jsonschema.Draft202012Validator.META_SCHEMA["$id"]


@pytest.mark.parametrize("text", GOOD)
def test_what_may_be_written(text: str, tmp_path: Path) -> None:
    jsonschema.Draft202012Validator(SCHEMA).validate(yaml.safe_load(text))
    assert not complaints(text, tmp_path)


@pytest.mark.parametrize("text", BAD)
def test_what_may_not_be_written(text: str, tmp_path: Path) -> None:
    assert list(jsonschema.Draft202012Validator(SCHEMA).iter_errors(yaml.safe_load(text)))
    assert complaints(text, tmp_path)


def test_every_key_is_described() -> None:
    definitions = SCHEMA["$defs"]
    assert isinstance(definitions, dict)
    assert definitions["Project"]["properties"].keys() == Project.model_fields.keys() - {"name"}
    assert definitions["Settings"]["properties"].keys() == Settings.model_fields.keys()
    for name, definition in definitions.items():
        for key, value in definition["properties"].items():
            assert value.get("description"), f"{name}.{key}"
