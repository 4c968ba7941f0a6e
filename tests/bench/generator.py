"""What the systemd generator costs each boot and daemon-reload, by how much of the manifests is new."""

from __future__ import annotations

import statistics

import table
from steps import ENVIRONMENT, MANIFEST, ROOT, projctl, server, write

from projctl.lab import Lab
from projctl.unitgenerator.main import CONFIGURATION

SIZES = (30, 300)
ROUNDS = 15
MORE = MANIFEST.replace("test", "zoo")
#: As the packaged launcher, which takes the modules from elsewhere and leaves `site` alone.
LAUNCHER = "/usr/local/lib/projctl-generator"
_MODULES = [str(ROOT / "generator"), str(next((ROOT / ".venv/lib").glob("python3*/site-packages")))]
_TEXT = f"""import sys
sys.path += {_MODULES!r}
from projctl.unitgenerator.main import main
main()
"""
_TIMER = f"""import os, shutil, subprocess, sys, time
for _ in range({ROUNDS}):
    if sys.argv[1:]:
        shutil.rmtree("/run/projctl/generated", ignore_errors=True)
    shutil.rmtree("/run/g", ignore_errors=True)
    for name in "nel":
        os.makedirs("/run/g/" + name)
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-IS", "{LAUNCHER}", "/run/g/n", "/run/g/e", "/run/g/l"], check=True)
    print(time.perf_counter() - begin)
print(sum(len(files) for _, _, files in os.walk("/run/g")), file=sys.stderr)
"""


def measure(lab: Lab, *options: str) -> tuple[str, str]:
    """Median milliseconds of a run, and how many files it wrote; with `forget` each run is the first."""
    said = lab.run(["/usr/bin/python3", "-c", _TIMER, *options], env=ENVIRONMENT)
    return f"{1000 * statistics.median(map(float, said.stdout.split())):.0f}", said.stderr.strip()


def rows(lab: Lab, size: int) -> list[tuple[object, ...]]:
    fleet = {f"p{number}": server(listen=10000 + number) for number in range(size)}
    write(lab, fleet)
    projctl(lab, "apply", "--no-preflight", timeout=300)
    found: list[tuple[object, ...]] = [(size, "unchanged, installed", *measure(lab))]
    write(lab, {"new": server(listen=9999)}, MORE)
    found.append((size, "one new project", *measure(lab, "forget")))
    found.append((size, "the same again", *measure(lab)))
    lab.run(["rm", MORE])
    lab.run(["sh", "-c", "rm -rf /etc/systemd/system/projctl*"])
    found.append((size, "unchanged, kept by apply but not installed", *measure(lab)))
    return found


def run() -> None:
    """milliseconds of one run of the systemd generator, median of 15, the start of Python included"""
    found: list[tuple[object, ...]] = []
    for size in SIZES:
        with Lab.boot() as lab:
            lab.write(LAUNCHER, _TEXT)
            lab.write(CONFIGURATION, "[Generator]\nEnabled=yes\n")
            found += rows(lab, size)
    table.show(("projects", "case", "ms", "files written"), found)
