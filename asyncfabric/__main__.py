"""`python -m asyncfabric` is the command `asyncfabric`."""

import sys

from asyncfabric.cli import main

if __name__ == "__main__":
    sys.exit(main())
