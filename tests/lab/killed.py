"""projctl as it is when it is killed: `killed.py N VERB…` ends by SIGKILL before its N-th change of the system.

Changes are what apply does to files below the unit and state directories, and the orders it gives to systemd.
Without so many changes it runs to its end as ever.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from projctl import cli

if TYPE_CHECKING:
    from collections.abc import Callable

PLACES = ("/etc/systemd/system", "/var/lib/projctl")
ORDERS = {"start", "stop", "daemon-reload", "try-restart", "reset-failed"}


def main() -> None:
    """Wrap everything that changes something, then run the verb."""
    left = int(sys.argv[1])

    def before(call: Callable[..., Any], counts: Callable[..., bool]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            nonlocal left
            if counts(*arguments, **options):
                left -= 1
                if not left:
                    os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **options)

        return counted

    def touches(*paths: Any, **_: Any) -> bool:
        return any(str(path).startswith(PLACES) for path in paths)

    for name in ("replace", "unlink", "symlink", "mkdir", "utime"):
        setattr(os, name, before(getattr(os, name), touches))
    os.fsync = before(os.fsync, lambda *_: True)
    subprocess.run = before(
        subprocess.run, lambda argv, **_: argv[0] == "systemctl" and bool(ORDERS & set(argv))
    )
    cli.main(sys.argv[2:])


if __name__ == "__main__":
    main()
