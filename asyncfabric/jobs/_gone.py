"""Whether a driver has ended, where that can be known."""

from __future__ import annotations

import os
import socket
import sys


def is_gone(host: str, pid: int) -> bool:
    """Tell whether a process ran on this machine and does no more; False where that is unknown.

    Another process may have been given its number meanwhile: then this is False, too.
    """
    if sys.platform == "win32" or host != socket.gethostname():
        return False  # on Windows, asking would end the process
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass  # another user's
    return False
