"""Runs an emulator until its standard input ends, which it does however the parent dies.

Started as a file by the emulator's own Python: it may import only the standard library.
"""

import os
import signal
import sys
import threading
from importlib import import_module


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    # The whole group: an emulator of Lambda has workers.
    os.killpg(0, signal.SIGKILL)


def main(module: str, *arguments: str) -> None:
    """Call the module's `main()` as if it were run as a command with these arguments."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.argv = [module, *arguments]
    import_module(module).main()


if __name__ == "__main__":
    main(*sys.argv[1:])
