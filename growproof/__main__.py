"""``python -m growproof``: the same as the command ``growproof``."""

import sys

from growproof.reports.cli import main

if __name__ == "__main__":
    sys.exit(main())
