"""uWSGI: takes every descriptor of LISTEN_FDS, all for one protocol; says READY=1 from its master process."""

from __future__ import annotations

from dataclasses import dataclass, replace

from projctl.adapters.adapter import Adapter
from projctl.shellwords import Word, plain

_FOREGROUND = "leave it out: systemd runs the server in the foreground"
#: Options that open a socket, with the protocol it speaks.
_PROTOCOLS = {
    "--http": "http",
    "--http-socket": "http",
    "--socket": "uwsgi",
    "-s": "uwsgi",
    "--uwsgi-socket": "uwsgi",
    "--fastcgi-socket": "fastcgi",
    "--scgi-socket": "scgi",
}


@dataclass(frozen=True)
class _Uwsgi(Adapter):
    def command(self, words: tuple[Word, ...], sockets: int = 1) -> tuple[Word, ...]:
        """As for all; the protocol is that of the first socket which the command would open itself, else HTTP."""
        given = (
            _PROTOCOLS[option] for word in words[1:] for option in _PROTOCOLS if _names(plain(word), option)
        )
        options = {**self.options, "--protocol": next(given, "http")}
        return Adapter.command(replace(self, options=options), words, sockets)


def _names(text: str, option: str) -> bool:
    return text == option or text.startswith(option if len(option) == 2 else f"{option}=")


ADAPTER = _Uwsgi(
    name="uwsgi",
    programs=("uwsgi", "uwsgi-core", "uwsgi_python3"),
    # Without a hook SIGTERM reloads, and with --die-on-term it drops what is being answered.
    options={"--master": "", "--hook-master-start": "unix_signal:15 gracefully_kill_them_all"},
    replaced=tuple(_PROTOCOLS),
    notifies=True,
    reload_signal="SIGHUP",
    refused={
        "-d": _FOREGROUND,
        "--daemonize": _FOREGROUND,
        "--emperor": "make each of its vassals a project",
    },
    # [pid: 7|app: 0|req: 1/1] 127.0.0.1 () {28 vars in 293 bytes} [Sat Nov 21 11:02:10 2026] GET / => generated 5 bytes
    # in 0 msecs (HTTP/1.1 200) 2 headers in 65 bytes (1 switches on core 0)
    access_log=r"\] [A-Z]+ \S+ => generated \d+ bytes in (?P<milliseconds>\d+) msecs \(\S+ (?P<status>\d{3})\)",
)
