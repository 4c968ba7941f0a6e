"""Manifests → the fleet: layers, directories, places."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from manifest_stage import ONE, load, refused, write

from projctl import manifest
from projctl.diagnostics import ProjctlError
from projctl.listen import Listen
from projctl.model import Idle


def test_everything_has_a_default(tmp_path: Path) -> None:
    project = load(write(tmp_path, a=ONE)).projects["shop"]
    assert (project.name, project.path, project.run.words) == ("shop", "/srv", (("x",),))
    assert project.listen == {"http": Listen(auto=True)}
    assert (project.idle, project.max_runtime, project.user) == (Idle(stop=3600, min_uptime=0), None, None)


def test_no_files() -> None:
    assert load([]).projects == {}


def test_later_layers_win_key_by_key(tmp_path: Path) -> None:
    files = write(
        tmp_path,
        base="""
            version: 1
            defaults: {idle: {stop: 1h, min_uptime: 5}, sandbox: strict}
            projects:
              shop:
                path: /srv
                run: [a, b]
                env: {A: "1", B: "1"}
                idle: 2h
              blog: {path: /blog, run: blog}
            """,
        over="""
            version: 1
            defaults: {sandbox: off}
            projects:
              shop: {run: [c], env: {B: "2", C: "2"}, idle: {min_uptime: 7}}
              more: {path: /more, run: more}
            """,
    )
    fleet = load(files)
    shop = fleet.projects["shop"]
    assert list(fleet.projects) == ["shop", "blog", "more"]
    assert (shop.path, shop.run.words, shop.env) == ("/srv", (("c",),), {"A": "1", "B": "2", "C": "2"})
    assert shop.idle == Idle(stop=7200, min_uptime=7)
    assert fleet.projects["more"].idle == Idle(stop=3600, min_uptime=5)
    assert {project.sandbox for project in fleet.projects.values()} == {"off"}


def test_a_layer_may_be_a_part(tmp_path: Path) -> None:
    files = write(
        tmp_path, a="version: 1\nprojects: {shop: {run: x}}", b="version: 1\nprojects: {shop: {path: /srv}}"
    )
    assert load(files).projects["shop"].path == "/srv"
    assert [p.message for p in refused(files, layered=False)] == [
        'must have a "path"',
        'cannot define the project "shop" again, first at ' + f"{files[0]}:2",
    ]


def test_each_layer_needs_its_version(tmp_path: Path) -> None:
    (problem,) = refused(write(tmp_path, a=ONE, b="projects: {}"))
    assert problem.mark and problem.mark.file.endswith("b.yaml")
    assert problem.message == 'must have a "version"'


def test_nothing_seems_missing_while_a_layer_cannot_be_read(tmp_path: Path) -> None:
    files = write(tmp_path, a="version: 1\nprojects: {shop: {run: a|b}}", b="a: [")
    messages = [problem.message for problem in refused(files)]
    assert len(messages) == 2
    assert messages[0].startswith("cannot use the shell operator")


SETTING = st.sampled_from(["1h", "2h", "3h"])
LAYER = st.fixed_dictionaries(
    {},
    optional={
        "max_runtime": SETTING,
        "idle": SETTING | st.fixed_dictionaries({}, optional={"stop": SETTING, "min_uptime": SETTING}),
        "env": st.dictionaries(st.sampled_from("ABC"), st.sampled_from("xyz")),
        "run": st.lists(st.sampled_from("pqr"), min_size=1),
    },
)


@settings(max_examples=60, deadline=None)
@given(st.lists(LAYER, min_size=1, max_size=4))
def test_later_wins(layers: list[dict[str, object]]) -> None:
    wanted: dict[str, object] = {"path": "/srv", "run": ["x"], "idle": {}, "env": {}}
    for layer in layers:
        for key, value in layer.items():
            value = {"stop": value} if key == "idle" and isinstance(value, str) else value
            before = wanted.get(key)
            merged = isinstance(before, dict) and isinstance(value, dict)
            wanted[key] = {**before, **value} if merged else value  # type: ignore[dict-item]
    with tempfile.TemporaryDirectory() as name:
        parts = [{"path": "/srv", "run": ["x"], "idle": {}, "env": {}}, *layers]
        texts = [yaml.safe_dump({"version": 1, "projects": {"shop": part}}) for part in parts]
        layered = load(write(Path(name), **{f"f{number}": text for number, text in enumerate(texts)}))
        at_once = load(write(Path(name), one=yaml.safe_dump({"version": 1, "projects": {"shop": wanted}})))
    assert layered.projects == at_once.projects


def test_files_of_a_directory_stand_for_themselves(tmp_path: Path) -> None:
    files = write(
        tmp_path,
        a="version: 1\ndefaults: {idle: 5s}\nprojects: {one: {path: sub, run: x}}",
        b="version: 1\nprojects: {two: {path: ../sub, run: x}}",
    )
    projects = load(files, layered=False).projects
    assert (projects["one"].idle.stop, projects["two"].idle.stop) == (5, 3600)
    assert projects["one"].path == str(tmp_path / "sub")
    assert projects["two"].path == str(tmp_path.parent / "sub")


def test_the_same_project_twice_names_both_places(tmp_path: Path) -> None:
    files = write(tmp_path, a=ONE, b=ONE)
    (problem,) = refused(files, layered=False)
    assert problem.message == f'cannot define the project "shop" again, first at {files[0]}:3'
    assert str(problem.mark) == f"{files[1]}:3:3"
    assert len(load(files).projects) == 1


def test_paths_belong_to_the_file_they_stand_in(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    (base,) = write(tmp_path / "one", a="version: 1\nprojects: {shop: {path: x/./../y, run: x, env_file: e}}")
    (over,) = write(tmp_path / "two", b="version: 1\nprojects: {shop: {env_file: ../f}}")
    project = load([base, over]).projects["shop"]
    assert (project.path, project.env_file) == (str(tmp_path / "one/y"), str(tmp_path / "f"))
    relative = Path(os.path.relpath(base))
    assert load([relative]).projects["shop"].path == str(tmp_path / "one/y")


def test_find_takes_manifests_only(tmp_path: Path) -> None:
    for name in (
        "b.yaml",
        "a.yml",
        ".c.yaml",
        "d.yaml~",
        "#e.yaml#",
        "f.yaml.bak",
        "g.txt",
        ".#h.yaml",
        "i.YAML",
    ):
        (tmp_path / name).touch()
    assert [path.name for path in manifest.find(tmp_path)] == ["a.yml", "b.yaml"]
    assert manifest.find(tmp_path / "none") == []
    with pytest.raises(ProjctlError, match=r"cannot read .*not a directory"):
        manifest.find(tmp_path / "a.yml")


def test_marks_lead_to_every_key(tmp_path: Path) -> None:
    text = """\
        version: 1
        defaults:
          limits: {memory: 1G}
        projects:
          shop:
            path: /srv
            run: x
            listen:
              public: 3400
            idle: 1h
            limits: {tasks: 5}
        """
    (file,) = write(tmp_path, a=text)
    fleet = load([file])
    places = {path: (mark.line, mark.column) for path, mark in fleet.marks.items()}
    assert places == {
        ("shop",): (5, 3),
        ("shop", "path"): (6, 11),
        ("shop", "run"): (7, 10),
        ("shop", "listen"): (8, 5),
        ("shop", "listen", "public"): (9, 15),
        ("shop", "idle"): (10, 11),
        ("shop", "limits"): (11, 13),
        ("shop", "limits", "memory"): (3, 20),
        ("shop", "limits", "tasks"): (11, 21),
    }
    assert fleet.mark("shop", "listen", "public", "port") == fleet.marks["shop", "listen", "public"]
    assert fleet.mark("shop", "sandbox") == fleet.marks[("shop",)]
    assert fleet.mark("blog") is None


def test_a_mistake_in_defaults_is_told_once(tmp_path: Path) -> None:
    projects = "".join(f"  p{number}: {{path: /srv, run: x, limits: {{tasks: 5}}}}\n" for number in range(5))
    text = "version: 1\ndefaults: {limits: {memory: 5X}, lisen: 1, idle: 0}\nprojects:\n" + projects
    assert [p.path for p in refused(write(tmp_path, a=text))] == [
        "$.defaults.limits.memory",
        "$.defaults",
        "$.defaults.idle",
    ]


def test_all_problems_of_all_files(tmp_path: Path) -> None:
    files = write(tmp_path, a="version: 2\nprojects: {a: {run: 5}}", b="a: [", c="- x", d=ONE)
    files.append(tmp_path / "e.yaml")
    problems = refused(files, layered=False)
    told = [Path(p.mark.file).name if p.mark else "" for p in problems]
    assert told == ["a.yaml", "a.yaml", "a.yaml", "b.yaml", "c.yaml", ""]
    assert list(manifest.load(files, layered=False)[0].projects) == ["shop"]
