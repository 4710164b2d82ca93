"""What workers load to take part: it is part of every cold start."""

import json
import subprocess
import sys

import pytest

from tests.sources import PACKAGES


@pytest.mark.parametrize("half", ["_mapper", "_reducer", "_regrouper", "_chunk", "_kept"])
def test_workers_do_without_the_driver(half: str) -> None:
    """Counted, not timed: what isn't loaded costs no time."""
    program = f"""
import json, sys
sys.path[:0] = {[str(folder.parent) for folder in PACKAGES.values()]!r}
import asyncfabric_runtime._bsp.{half}
print(json.dumps(sorted(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-I", "-c", program], capture_output=True, check=True, text=True
    )
    loaded = set(json.loads(done.stdout))
    late = {"anyio", "asyncfabric", "cloudpickle", "numpy", "obstore", "tempfile"}
    assert loaded & late == set()
