"""Prints what some seeds come to; run by a test in processes of its own.

python -m tests.testing.simulated.digest FIRST COUNT
"""

import sys

from .auditor import Audit


def main(first: int, count: int) -> None:
    """Print a line for each seed."""
    for seed in range(first, first + count):
        audit = Audit(seed)
        audit.run()
        assert audit.cloud.history is not None
        print(seed, audit.cloud.history.digest, audit.cloud.ledger)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
