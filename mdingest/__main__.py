"""`python -m mdingest` is the console script `mdingest`."""

import sys

from mdingest.cli import main

if __name__ == "__main__":
    sys.exit(main())
