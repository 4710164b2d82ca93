"""A module that hangs the first time it is imported; a file in its TMPDIR's parent tells."""

import os
import signal
from pathlib import Path
from typing import Any

_mark = Path(os.environ["MARK"])
if not _mark.exists() or os.environ.get("ALWAYS"):
    _mark.touch()
    signal.pause()


def handler(event: Any, context: Any) -> str:
    return "started at last"
