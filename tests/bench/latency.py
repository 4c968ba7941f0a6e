"""Cold starts, and what a warm request costs beside a server that opened its port itself."""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

import table
from steps import ROOT, apply, projctl

from projctl.lab import Lab

DEMO = ROOT / "examples/demo"
COLD, WARM, ROUNDS = 9, 2000, 5
PROJECTS = {
    "gunicorn": {"path": str(DEMO / "wsgi"), "run": "gunicorn app:app", "listen": 3400},
    "uvicorn": {"path": str(DEMO / "asgi"), "run": "uvicorn app:app --no-access-log", "listen": 3401},
    "proxy": {"path": str(DEMO / "asgi"), "listen": 3402,
              "run": "uvicorn app:app --no-access-log --host $HOST --port $PORT", "server": "proxy"},
}  # fmt: skip
DIRECT = ["uvicorn", "app:app", "--no-access-log", "--port", "3499"]


def first_byte(lab: Lab, port: int) -> float:
    """Seconds from connect to the first byte of the answer."""
    connection = lab.new_socket()
    with connection:
        begin = time.perf_counter()
        connection.connect(("127.0.0.1", port))
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        connection.recv(1)
        return time.perf_counter() - begin


def keep_alive(lab: Lab, port: int) -> float:
    """Median seconds of one request on a connection that stays open."""
    with lab.connect(port) as connection:
        times = []
        for _ in range(WARM):
            begin = time.perf_counter()
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = connection.recv(65536)
            while b"\n0\r\n\r\n" not in answer:
                answer += connection.recv(65536)
            times.append(time.perf_counter() - begin)
    return statistics.median(times)


def run() -> None:
    """time to the first byte from cold and warm; a warm request against the same server on its own port"""
    with Lab.boot() as lab:
        apply(lab, PROJECTS)
        rows = []
        for name, project in PROJECTS.items():
            cold = []
            for _ in range(COLD):
                projctl(lab, "stop", name)
                cold.append(first_byte(lab, project["listen"]))
            warm = [first_byte(lab, project["listen"]) for _ in range(100)]
            rows.append((name, *(f"{1000 * value:.2f}" for value in
                        (statistics.median(cold), max(cold), statistics.median(warm)))))  # fmt: skip
        table.show(("server", "cold p50 ms", "cold max ms", "warm p50 ms"), rows)
        compare(lab)


def compare(lab: Lab) -> None:
    program = str(Path(sys.executable).with_name("uvicorn"))
    with lab.popen([program, *DIRECT[1:]], cwd=str(DEMO / "asgi")) as direct:
        time.sleep(3)
        ports = {
            "direct": 3499,
            "activated": PROJECTS["uvicorn"]["listen"],
            "proxy": PROJECTS["proxy"]["listen"],
        }
        times: dict[str, list[float]] = {name: [] for name in ports}
        for _ in range(ROUNDS):
            for name, port in ports.items():
                times[name].append(keep_alive(lab, port))
        direct.kill()
    medians = {name: statistics.median(values) for name, values in times.items()}
    rows = [(n, f"{1e6 * m:.0f}", f"{m / medians['direct']:.2f}") for n, m in medians.items()]
    print(f"\none request on a kept connection, median of {WARM}, median of {ROUNDS} rounds in turn")
    table.show(("uvicorn", "µs", "against direct"), rows)
