"""Caddy with one site."""

import sys
from pathlib import Path

from server_cases import Case

_CADDYFILE = """\
{
	admin off
	auto_https off
}
http:// {
	bind fd/3
	log
	respond /missing 404
	respond "here"
}
"""


def _prepare(place: Path) -> None:
    (place / "Caddyfile").write_text(_CADDYFILE)


CASE = Case(
    name="caddy",
    project={
        "run": [str(Path(sys.executable).with_name("caddy")), "run"],
        # Where it keeps certificates.
        "env": {"XDG_DATA_HOME": "/run/caddy", "XDG_CONFIG_HOME": "/run/caddy"},
    },
    prepare=_prepare,
    tells=False,
    logs=True,
)
