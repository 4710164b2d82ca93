"""Programs of their own, whose functions live in `__main__`."""

import json
import subprocess
import sys
from typing import Any

from tests.sources import PACKAGES, ROOT

_BEGIN = f"""
import sys
sys.path[:0] = {[str(ROOT), *(str(folder.parent) for folder in PACKAGES.values())]!r}
from asyncfabric.shipping import ship
"""


def run(program: str, *, hash_seed: int = 0) -> Any:
    """Run a program in a fresh interpreter; return what it prints, read as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", _BEGIN + program],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONHASHSEED": str(hash_seed)},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
