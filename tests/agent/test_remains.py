"""What runs left behind, kept for the next agent."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from projctl_agent import remains


def test_what_lives_is_read_back_as_written() -> None:
    own = remains.look_up(os.getpid())
    with subprocess.Popen(["/bin/true"]) as child:
        gone = remains.look_up(child.pid)
    assert own
    found = [own, gone] if gone else [own]
    assert remains.parse(remains.dump({"shop": found})) == {"shop": (own,)}


def test_what_was_before_a_reboot_is_forgotten() -> None:
    own = remains.look_up(os.getpid())
    assert own
    data = json.loads(remains.dump({"shop": [own]}))
    assert remains.parse(json.dumps(data | {"boot": "another"})) == {}


@pytest.mark.parametrize(
    "content",
    [
        "", "[]", "{}", '{"version":9,"boot":"","left":{}}', '{"version":1,"boot":"","left":[]}',
        '{"version":1,"boot":"","left":{"../x":[]}}', '{"version":1,"boot":"","left":{"shop":[[1,"a"]]}}',
        '{"version":1,"boot":"","left":{"shop":[["1","a",2.5]]}}', '{"version":1,"boot":0,"left":{}}',
    ],
)  # fmt: skip
def test_what_dump_did_not_write_is_refused(content: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  the message names the place, the kind is what counts
        remains.parse(content)
