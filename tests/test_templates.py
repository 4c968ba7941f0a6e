"""An administrator's templates: whatever goes wrong in one is one message that names it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from projctl import manifest, render
from projctl.addresses import Address
from projctl.diagnostics import ProjctlError
from projctl.machine import Facts
from projctl.server import Target

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST = "version: 1\nprojects:\n  shop: {path: /srv, run: x, server: native, listen: 3400}\n"
BAD = {
    "syntax": (b"a\n{% if %}\n", "2: "),
    "unknown": (b"a\n\n{{ nobody }}\n", "3: 'nobody' is undefined"),
    "division": (b"{{ 1 // 0 }}\n", "1: ZeroDivisionError: "),
    "type": (b"a\n{{ 1 + 'x' }}\n", "2: TypeError: "),
    "value": (b"a\n{{ 'x' | seconds }}\n", "2: ValueError: "),
    "attribute": (b"{{ project | path }}\n", "1: "),
    "filter": (b"{{ [] | exec }}\n", "1: "),
    "endless": (b"{% macro f() %}{{ f() }}{% endmacro %}\n{{ f() }}\n", "1: RecursionError: "),
    "bytes": (b"a\n# br\xfccke\n", "2: it must be UTF-8 text"),
}


def rendered(directory: Path) -> dict[str, str]:
    file = directory / "manifest.yaml"
    file.write_text(MANIFEST)
    fleet, problems = manifest.load([file], layered=True)
    assert not problems
    target = Target(252, False, "/usr/bin/python3", "/usr/lib/ready.py", overrides=directory)
    addresses = {("shop", "http"): Address("tcp", None, 3400)}
    facts = {"shop": Facts("/usr/bin/x", (), 0, 0, "/root", "root")}
    return render.units(fleet, addresses, facts, target, {"shop": f"{file}:3"})


@pytest.mark.parametrize("template", ["project.service.j2", "common.j2"])
@pytest.mark.parametrize("name", BAD)
def test_one_message(tmp_path: Path, name: str, template: str) -> None:
    data, said = BAD[name]
    (tmp_path / template).write_bytes(data)
    with pytest.raises(ProjctlError) as refused:
        rendered(tmp_path)
    (problem,) = refused.value.problems
    assert problem.message.startswith(f"cannot use the template {tmp_path / template}:{said}")
    assert "\n" not in problem.message


def test_a_good_one_wins(tmp_path: Path) -> None:
    (tmp_path / "project.service.j2").write_text(
        "{{ marker }}\n[Service]\nExecStart={{ command | exec }}\n", "utf-8"
    )
    assert rendered(tmp_path)["projctl-shop.service"].endswith('[Service]\nExecStart="/usr/bin/x"\n')
