"""Makes `python -m projctl.unitgenerator` work."""

from projctl.unitgenerator.main import main

main()
