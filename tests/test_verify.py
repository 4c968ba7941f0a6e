"""systemd-analyze has nothing to say about anything that is rendered."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from test_corpus import FILES

from projctl import cli

ROOT = Path(__file__).parents[1]
GOOD = [path for path in FILES if b"## assert-failed" not in path.read_bytes() and path.stem != "none"]


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROJCTL_STATE_DIR", str(tmp_path / "state"))


@pytest.mark.parametrize(
    "manifest", [*GOOD, ROOT / "examples/demo/projects.yaml"], ids=lambda path: path.stem
)
def test_verify_is_silent(manifest: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["render", "-f", str(manifest), "-o", str(tmp_path / "units")])
    assert not ended.value.code
    files = sorted(map(str, (tmp_path / "units").glob("*")))
    command = ["systemd-analyze", "--system", "--man=no", "--generators=no", "verify", "--", *files]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (said.returncode, said.stderr) == (0, "")


def test_there_is_something_to_verify() -> None:
    assert len(GOOD) >= 8
