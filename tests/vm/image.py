"""What the virtual machine boots: a plain Debian 13, and a second disk with the packages and the steps."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGING = ROOT / "packaging"
#: What is there before projctl's packages are.
PLAIN = ("systemd-sysv", "udev", "dbus", "linux-image-cloud-amd64", "python3", "curl", "bash-completion")
#: What apt can install in the machine, with everything it depends on; projctl's own dependencies are added.
SERVERS = ("gunicorn", "python3-uvicorn")
#: The second build, which the first is upgraded to.
NEXT = "99.0.0"


def run(*command: str | Path, **environment: str) -> str:
    """The output of a command that must succeed; what it complains about is shown."""
    words = [str(word) for word in command]
    return subprocess.run(
        words, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | environment
    ).stdout


def root() -> Path:
    """The directory with the files of the plain system."""
    return Path(run(PACKAGING / "debian-root", *PLAIN).strip())


def system(plain: Path) -> Path:
    """The first disk: the plain system as it is, made once."""
    found = plain.with_suffix(".ext4")
    if not found.exists():
        print("making the disk of the plain system", flush=True)
        new = found.with_suffix(".new")
        new.unlink(missing_ok=True)
        run("mke2fs", "-q", "-t", "ext4", "-d", plain, new, "4G")
        new.rename(found)
    return found


def disk(directory: Path, file: Path) -> Path:
    """A disk with the files of a directory."""
    run("mke2fs", "-q", "-t", "ext4", "-d", directory, file, "256M")
    return file


def fill(directory: Path) -> None:
    """The second disk's files: two repositories for apt, of this tree and of a later version, and the steps."""
    now, later = directory / "now", directory / "later"
    print("building the packages", flush=True)
    run(PACKAGING / "build-deb", now)
    run(PACKAGING / "build-deb", "--version", NEXT, later, DEB_BUILD_OPTIONS="nocheck")
    for package in dependencies(now).glob("*.deb"):
        shutil.copy(package, now)
    for repository in (now, later):
        (repository / "Packages").write_text(
            subprocess.run(
                ["apt-ftparchive", "packages", "."], cwd=repository, check=True, stdout=-1, text=True
            ).stdout
        )
    for name in ("guest.py", "app.py"):
        shutil.copy(Path(__file__).with_name(name), directory)
    shutil.copy(PACKAGING / "debian/tests/serve", directory)


def dependencies(built: Path) -> Path:
    """A directory with every package that apt installs along with ours; downloaded once for each set of names."""
    plain = root()
    control = (PACKAGING / "debian/control").read_text()
    key = hashlib.sha256("\n".join([plain.name, control, *SERVERS]).encode()).hexdigest()[:12]
    kept = plain.parent / f"packages-{key}"
    if not kept.exists():
        print("downloading what the packages depend on", flush=True)
        new = kept.with_suffix(".new")
        shutil.rmtree(new, ignore_errors=True)
        (new / "partial").mkdir(parents=True)
        shutil.copytree(built, new / "built")
        run(
            PACKAGING / "in-root", plain, new, "sh", "-euc",
            'apt-get install -qq -y --download-only -o Dir::Cache::archives=/mnt /mnt/built/*.deb "$@" >&2',
            "sh", *SERVERS,
        )  # fmt: skip
        shutil.rmtree(new / "built")
        new.rename(kept)
    return kept
