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
from run import Run  # noqa: E402

SOAKS = {
    "idle-stops": idle_stops.run,
    "restarts": restarts.run,
    "killed-agent": disturbances.run_killed,
    "outages": disturbances.run_outages,
    "many": many.run,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which of: {', '.join(SOAKS)}")
    parser.add_argument("--share", type=float, default=1.0, help="of the full counts, for a short run")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="keep the tables there")
    options = parser.parse_args()
    for name in options.names:
        if name not in SOAKS:
            parser.error(f'unknown soak "{name}", must be one of: {", ".join(SOAKS)}')
    run = Run(options.share, options.markdown)
    run.begin()
    for name in options.names or SOAKS:
        run.title(name, SOAKS[name].__doc__ or "")
        SOAKS[name](run)
    run.progress("done")
    if run.missed:
        run.remark("goals that were missed", run.missed)
    return bool(run.missed)


sys.exit(main())
