"""`make soak`: faults and races by the thousand on a real systemd in a lab; prints what docs/reliability.md keeps."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / name) for name in ("lab", "bench")]

import disturbances  # noqa: E402
import idle_stops  # noqa: E402
import many  # noqa: E402
import restarts  # noqa: E402

SOAKS = {
    "idle-stops": idle_stops.run,
    "restarts": restarts.run,
    "killed-agent": disturbances.run_killed,
    "outages": disturbances.run_outages,
    "many": many.run,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which of: {', '.join(SOAKS)}")
    for name in parser.parse_args().names or SOAKS:
        if name not in SOAKS:
            parser.error(f'unknown soak "{name}", must be one of: {", ".join(SOAKS)}')
        print(f"\n== {name}: {SOAKS[name].__doc__}", flush=True)
        SOAKS[name]()


main()
