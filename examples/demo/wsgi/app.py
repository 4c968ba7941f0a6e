"""A guest book on WSGI: what visitors write lives in memory, so a stop is seen."""

import html
import os
from urllib.parse import parse_qs

ENTRIES: list[str] = []


def app(environ, start_response):
    if environ["REQUEST_METHOD"] == "POST":
        length = min(int(environ.get("CONTENT_LENGTH") or 0), 10_000)
        form = parse_qs(environ["wsgi.input"].read(length).decode(errors="replace"))
        ENTRIES.extend(form.get("entry", []))
    items = "".join(f"<li>{html.escape(entry)}" for entry in ENTRIES)
    page = f"<!doctype html><title>Guest book</title><ul>{items}</ul><p>process {os.getpid()}\n"
    start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
    return [page.encode()]
