"""The README's quick start."""

import math
import re
from pathlib import Path

import pytest

from tests.sources import ROOT

from .running import run


def test_it_is_the_one_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(
        r"^## Quick start\n+```python\n(.*?)^```$", readme, re.DOTALL | re.MULTILINE
    )
    program = (ROOT / "examples" / "quickstart.py").read_text(encoding="utf-8")
    assert program.endswith(f'"""\n\n{block}')


def test_it_finds_pi(tmp_path: Path) -> None:
    error = 4 * math.sqrt(math.pi / 4 * (1 - math.pi / 4) / 10_000_000)
    assert float(run(tmp_path, "quickstart")) == pytest.approx(math.pi, abs=4 * error)
