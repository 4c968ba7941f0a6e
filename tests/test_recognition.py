"""Which commands are which kind of server, and what is added to them so that they take their sockets."""

from __future__ import annotations

import pytest

from projctl import adapters
from projctl.shellwords import plain, split


def _recognised(run: str) -> list[str]:
    return [name for name, adapter in adapters.every().items() if adapter.recognises(split(run))]


@pytest.mark.parametrize(
    ("run", "server"),
    [
        ("caddy run --config /etc/caddy/Caddyfile", "caddy"),
        ("go run .", "go"),
        ("/usr/sbin/nginx -c /srv/site.conf", "nginx"),
        ("node build", "node"),
        ("/opt/node/bin/node --env-file=.env server.js", "node"),
        ("nodejs server.js", "node"),
        ("php-fpm -F", "php-fpm"),
        ("php-fpm8.2 -F -y pool.conf", "php-fpm"),
        ("puma -C config/puma.rb", "puma"),
    ],
)
def test_what_is_recognised(run: str, server: str) -> None:
    assert _recognised(run) == [server]


@pytest.mark.parametrize(
    "run",
    [
        "node server.js --port $PORT",
        "npm start",
        "sh -c puma",
        "vite",
        "php-fpm-helper",
        "./server",
        "php -S",
    ],
)
def test_what_is_not(run: str) -> None:
    assert _recognised(run) == []


@pytest.mark.parametrize(
    ("run", "option"),
    [
        ("caddy start", "start"),
        ("go run .", "run"),
        ("node --watch server.js", "--watch"),
        ("node --watch-path=src server.js", "--watch-path"),
        ("php-fpm8.2 -D", "-D"),
        ("php-fpm8.2 --daemonize", "--daemonize"),
    ],
)
def test_what_would_lose_the_socket_is_refused(run: str, option: str) -> None:
    (server,) = _recognised(run)
    ((message, hint),) = adapters.every()[server].problems(split(run), 1)
    assert message == f'cannot run {server} with "{option}": it would lose the socket' and hint


@pytest.mark.parametrize("server", ["caddy", "php-fpm"])
def test_several_sockets_are_refused_where_they_could_be_mixed_up(server: str) -> None:
    found = adapters.every()[server].problems(split(server), 2)
    assert [message for message, _ in found] == [f"cannot listen on 2 sockets: {server} takes 1 socket only"]


@pytest.mark.parametrize(
    ("server", "variables"),
    [
        ("caddy", {}),
        ("nginx", {"NGINX": "3;4;"}),
        ("node", {}),
        ("php-fpm", {"FPM_SOCKETS": "/dev/fd/3=3,/dev/fd/4=4"}),
    ],
)
def test_variables_name_the_descriptors(server: str, variables: dict[str, str]) -> None:
    assert adapters.every()[server].environment(2) == variables


@pytest.mark.parametrize(
    ("run", "command"),
    [
        ("puma -p 80", "puma -p 80 --bind-to-activated-sockets only"),
        ("puma --bind-to-activated-sockets=only", "puma --bind-to-activated-sockets=only"),
        ("nginx -c site.conf", "nginx -c site.conf"),
        ("node build", "node build"),
    ],
)
def test_options_that_are_added(run: str, command: str) -> None:
    (server,) = _recognised(run)
    words = adapters.every()[server].command(split(run), 2)
    assert " ".join(plain(word) for word in words) == command
