"""uWSGI: takes descriptors by `--http-socket fd://N`; says READY=1 from its master process."""

from projctl.adapters.adapter import Adapter

ADAPTER = Adapter(
    name="uwsgi",
    programs=("uwsgi", "uwsgi-core"),
    arguments=("--http-socket", "fd://{fd}"),
    # Without a hook SIGTERM reloads, and with --die-on-term it drops what is being answered.
    options={"--master": "", "--hook-master-start": "unix_signal:15 gracefully_kill_them_all"},
    replaced=("--http-socket", "--http", "-s", "--socket", "--uwsgi-socket"),
    notifies=True,
    reload_signal="SIGHUP",
    refused={
        "-d": "leave it out: systemd runs the server in the foreground",
        "--daemonize": "leave it out: systemd runs the server in the foreground",
    },
    # [pid: 7|app: 0|req: 1/1] 127.0.0.1 () {28 vars in 293 bytes} [Sat Nov 21 11:02:10 2026] GET / => generated 5 bytes
    # in 0 msecs (HTTP/1.1 200) 2 headers in 65 bytes (1 switches on core 0)
    access_log=r"\] [A-Z]+ \S+ => generated \d+ bytes in (?P<milliseconds>\d+) msecs \(\S+ (?P<status>\d{3})\)",
)
