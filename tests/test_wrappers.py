"""Wrappers around servers: what each keeps from the server, how it is seen through, what the cure is."""

from __future__ import annotations

import pytest

from projctl import wrappers
from projctl.model import Project, parse_run


@pytest.mark.parametrize(
    ("command", "name", "keeps"),
    [
        ("uv run gunicorn shop:app", "uv run", "descriptors"),
        ("/usr/local/bin/uv run gunicorn shop:app", "uv run", "descriptors"),
        ("uv tool run gunicorn shop:app", "uv tool run", "descriptors"),
        ("poetry run gunicorn shop:app", "poetry run", "all"),
        ("pipenv run gunicorn shop:app", "pipenv run", "all"),
        ("npm start", "npm start", "nothing"),
        ("npx server", "npx", "nothing"),
        ("sh -c 'gunicorn shop:app'", "sh -c", "descriptors"),
        ("sh -ec 'cd x; exec gunicorn shop:app'", "sh -c", "all"),
        ("sh -c 'exec uv run gunicorn shop:app'", "uv run", "descriptors"),
        ("bash start.sh", "bash", "all"),
        ("env -i A=b sudo -E gunicorn shop:app", "sudo", "nothing"),
        ("uv run npm start", "npm start", "nothing"),
        ("npm run serve", "npm run", "nothing"),
        ("env -u HOME nohup gunicorn shop:app", "nohup", "all"),
    ],
)
def test_a_wrapper_is_found(command: str, name: str, keeps: str) -> None:
    found = wrappers.find(words(command))
    assert found and (found.name, found.keeps) == (name, keeps)


@pytest.mark.parametrize(
    "command",
    [
        "gunicorn shop:app",
        "python -m gunicorn shop:app",
        "uv --version",
        "npm",
        "node server.js",
        "sh",
        "env2 x",
    ],
)
def test_what_stands_alone_is_no_wrapper(command: str) -> None:
    assert wrappers.find(words(command)) is None


@pytest.mark.parametrize(
    ("command", "cure"),
    [
        ("uv run gunicorn shop:app", '".venv/bin/gunicorn shop:app"'),
        ("uv run --frozen -- gunicorn 'a b'", "\".venv/bin/gunicorn 'a b'\""),
        ("npm start", '"node server.js"'),
        ("sh -c 'gunicorn shop:app'", "exec"),
        ("bash start.sh", "exec"),
        ("sudo -u www gunicorn shop:app", '"user"'),
        ("docker run shop", "outside the container"),
    ],
)
def test_a_cure_is_named(command: str, cure: str) -> None:
    assert cure in str(wrappers.cure(project(command)))


def test_no_wrapper_needs_no_cure() -> None:
    assert wrappers.cure(project("gunicorn shop:app")) is None


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("sh -c", "sh -c"),
        ("sh -c ''", "sh -c"),
        ("sh -c exec", "sh -c"),
        ("env", "env"),
        ("env A=b", "env"),
        ("uv run", "uv run"),
        ('sh -c "\'"', "sh -c"),
    ],
)
def test_a_wrapper_around_nothing_is_one(command: str, name: str) -> None:
    found = wrappers.find(words(command))
    assert found and found.name == name


def words(command: str) -> list[str]:
    return [str(word[0]) for word in parse_run(command).words]


def project(command: str) -> Project:
    return Project(name="shop", path="/", run=command)  # type: ignore[arg-type]
