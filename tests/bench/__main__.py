"""`make bench`: measures on a real systemd in a lab and prints tables; compare only figures of one run."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / "lab"), str(Path(__file__).parent)]

import allocation  # noqa: E402
import fleet  # noqa: E402
import freezing  # noqa: E402
import generator  # noqa: E402
import idle  # noqa: E402
import latency  # noqa: E402
import nextjs  # noqa: E402
import records  # noqa: E402
import scrape  # noqa: E402
import servers  # noqa: E402
import state  # noqa: E402

BENCHES = {
    "allocation": allocation.run,
    "generator": generator.run,
    "latency": latency.run,
    "fleet": fleet.run,
    "freezing": freezing.run,
    "idle": idle.run,
    "scrape": scrape.run,
    "servers": servers.run,
    "state": state.run,
    "records": records.run,
    "nextjs": nextjs.run,
}
#: Measured only when named, for what they install first.
BY_NAME = {"nextjs"}


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which of: {', '.join(BENCHES)}")
    for name in parser.parse_args().names or [name for name in BENCHES if name not in BY_NAME]:
        if name not in BENCHES:
            parser.error(f'unknown bench "{name}", must be one of: {", ".join(BENCHES)}')
        print(f"\n== {name}: {BENCHES[name].__doc__}")
        BENCHES[name]()


main()
