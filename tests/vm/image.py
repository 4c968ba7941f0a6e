"""What the virtual machine boots: a plain Debian 13, and a second disk with the packages and the steps."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGING = ROOT / "packaging"
#: What the system has but for what the packages ask for.
SYSTEM = (
    "bash-completion", "curl", "dbus", "gunicorn", "linux-image-cloud-amd64", "pipx", "python3-hatchling",
    "systemd-sysv", "udev",
)  # fmt: skip
#: The second build, which the first is upgraded to.
NEXT = "99.0.0"


def run(*command: str | Path, cwd: Path = ROOT, **environment: str) -> str:
    """The output of a command; where it fails everything that it said is shown, and this program ends."""
    result = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=os.environ | environment,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if result.returncode:
        sys.exit(f"{result.stdout}{result.stderr}{command[0]} failed with status {result.returncode}")
    return result.stdout


def root(built: Path) -> Path:
    """The directory of a system that has what the packages say they need, by Debian's own packages, and no more."""
    needed: set[str] = set()
    ours = {package.name.partition("_")[0] for package in built.glob("*.deb")}
    for package in built.glob("*.deb"):
        for field in ("Depends", "Recommends"):
            # Of alternatives the first.
            needed |= set(re.findall(r"(?:^|, )([a-z0-9.+-]+)", run("dpkg-deb", "--field", package, field)))
    return Path(run(PACKAGING / "debian-root", *sorted({*SYSTEM, *needed} - ours)).strip())


def wheel(root: Path, directory: Path) -> None:
    """The wheel, built out of the source distribution alone."""
    with tempfile.TemporaryDirectory(prefix="projctl-wheel-") as name:
        run(PACKAGING / "export", Path(name, "tree"))
        script = """
            cd /mnt/tree && python3 -m hatchling build -t sdist -d /mnt/dist && cd /mnt/dist && tar -xf *.tar.gz
            cd /mnt/dist/*/ && python3 -m hatchling build -t wheel -d /mnt
        """
        run(PACKAGING / "in-root", root, name, "sh", "-euc", script)
        for file in Path(name).glob("*.whl"):
            shutil.copy(file, directory)


def system(plain: Path) -> Path:
    """The first disk: that system as it is, made once."""
    found = plain.with_suffix(".ext4")
    if not found.exists():
        new = found.with_suffix(".new")
        new.unlink(missing_ok=True)
        run("mke2fs", "-q", "-t", "ext4", "-d", plain, new, "4G")
        new.rename(found)
    return found


def disk(directory: Path, file: Path) -> Path:
    """A disk with the files of a directory."""
    run("mke2fs", "-q", "-t", "ext4", "-d", directory, file, "64M")
    return file


def fill(directory: Path) -> Path:
    """The second disk's files: two repositories for apt, of this tree and of a later version, and the steps.

    Returns the first repository.
    """
    now, later = directory / "now", directory / "later"
    with ThreadPoolExecutor() as pool:
        builds = [
            pool.submit(run, PACKAGING / "build-deb", now),
            pool.submit(run, PACKAGING / "build-deb", "--version", NEXT, later, DEB_BUILD_OPTIONS="nocheck"),
        ]
    for build in builds:
        build.result()
    for repository in (now, later):
        (repository / "Packages").write_text(run("apt-ftparchive", "packages", ".", cwd=repository))
    for name in ("guest.py", "machine.py", "installed.py", "rebooted.py", "app.py"):
        shutil.copy(Path(__file__).with_name(name), directory)
    shutil.copy(PACKAGING / "debian/tests/serve", directory)
    return now
