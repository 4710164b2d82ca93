"""The examples of two stages: what they print is true."""

import re
from collections import Counter
from pathlib import Path

import pytest

from .running import run

TEXTS = {
    "a.py": "import os\nos.remove(name)\n",
    "b/c.py": "import sys # import",
    "d.txt": "import",
    "e.so": "import",
}


@pytest.mark.parametrize("backend", ["local://?processes=2", "inline://"])
def test_words_are_counted(tmp_path: Path, backend: str) -> None:
    below, scratch = tmp_path / "below", tmp_path / "scratch"
    scratch.mkdir()
    for name, text in TEXTS.items():
        (below / name).parent.mkdir(parents=True, exist_ok=True)
        (below / name).write_text(text)
    output = run(scratch, "word_count", f"--below={below}", "--size=20", f"--backend={backend}")
    words = re.findall("[a-z]{2,}", " ".join(TEXTS[name] for name in ("a.py", "b/c.py", "d.txt")))
    lines = re.findall(r"^ +(\d+) (\w+)$", output, re.MULTILINE)
    counted = {word: int(number) for number, word in lines}
    assert counted == Counter(words)


def test_records_are_sorted(tmp_path: Path) -> None:
    output = run(tmp_path, "sort", "--megabytes=2", "--memory=1MiB", "--backend=inline://")
    assert "20,000 records, 2 MB" in output
    assert "checked: in order, and the same records" in output


def test_modules_are_ranked_as_networkx_does(tmp_path: Path) -> None:
    below, scratch = tmp_path / "below", tmp_path / "scratch"
    scratch.mkdir()
    programs = {
        "core.py": "",
        "pack/__init__.py": "import core",
        "pack/part.py": "from pack import other\nimport core.nothing, missing",
        "pack/other.py": "from core import *\nimport pack.part as part",
        "broken.py": "import core, (",
    }
    for name, text in programs.items():
        (below / name).parent.mkdir(parents=True, exist_ok=True)
        (below / name).write_text(text)
    output = run(scratch, "pagerank", f"--below={below}", "--backend=inline://")
    assert "5 modules, 5 imports" in output
    assert re.search(r"rounds\n +[\d.]+ core\n", output)
    assert "checked: networkx finds the same" in output


@pytest.mark.timeout(200)
def test_a_grid_is_searched(tmp_path: Path) -> None:
    arguments = ["--folds=2", "--digits=300", "--backend=inline://"]
    output = run(tmp_path, "grid_search", *arguments, patience=180)
    assert len(re.findall(r"^C=", output, re.MULTILINE)) == 16
    # As scikit-learn's own GridSearchCV finds it.
    assert "best of 16: C=1.0, gamma=0.001, which reads 92.67%" in output


@pytest.mark.timeout(280)
def test_a_search_learns_from_what_is_done(tmp_path: Path) -> None:
    arguments = ["--trials=8", "--digits=300", "--backend=local://?processes=2"]
    output = run(tmp_path, "guided_search", *arguments, patience=260)
    found = re.search(r"8 trials, (\d+) under way at a time", output)
    assert found
    # Both workers have something to do, and trials are chosen while others are evaluated.
    assert 2 <= int(found[1]) < 8
    assert re.search(r"best: trial \d+ reads \d\d\.\d\d%", output)
