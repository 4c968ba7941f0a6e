"""`python -m projctl_runtime` is `projctl-serve`."""

import sys

from projctl_runtime.serve import main

sys.exit(main())
