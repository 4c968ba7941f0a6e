"""`python -m projctl`."""

from projctl.cli import main

main()
