"""``python -m skfakespotter``: the command line."""

import sys

from skfakespotter.cli import main

if __name__ == "__main__":
    sys.exit(main())
