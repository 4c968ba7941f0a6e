"""Whether the generator may do anything: /etc/projctl/generator.conf."""

from __future__ import annotations

from projctl.unitgenerator.store import read_text

_TRUE, _FALSE = ("1", "yes", "true", "on"), ("0", "no", "false", "off")


def is_enabled(path: str) -> bool:
    """Whether the file says `Enabled=yes`; False where there is none. Raises ValueError that names the line."""
    try:
        lines = read_text(path).splitlines()
    except OSError:
        return False
    enabled = False
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text[0] in "#;" or text == "[Generator]":
            continue
        key, _, value = (part.strip() for part in text.partition("="))
        if key != "Enabled" or value.lower() not in _TRUE + _FALSE:
            raise ValueError(f'{path}:{number}:1: must be "[Generator]", "Enabled=yes" or "Enabled=no"')
        enabled = value.lower() in _TRUE
    return enabled
