"""The examples of the parameter server, in short forms: they check their own figures."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.redis_server import redis_binary

from .running import run


@pytest.fixture(autouse=True)
def needs_redis() -> None:
    redis_binary()  # or skip


def test_shared_counter(tmp_path: Path) -> None:
    output = run(tmp_path, "shared_counter", "--calls", "10")
    assert "10 calls, 1 of them lost their worker" in output
    assert "1,000,000 points, none twice" in output


def test_top_k(tmp_path: Path) -> None:
    output = run(tmp_path, "top_k", "--k", "3")
    assert re.findall(r"^  (\w{3}) +([\d,]+)$", output, re.MULTILINE) == [
        ("ORD", "17,283"),
        ("ATL", "17,215"),
        ("LAX", "16,174"),
    ]


def test_hogwild_text(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    picture = tmp_path / "loss.svg"
    arguments = ("--documents", "2000", "--epochs", "3", "--plot", str(picture))
    output = run(tmp_path / "scratch", "hogwild_text", *arguments)
    losses = re.findall(r"^ +\d +(0\.\d+) +(0\.\d+)$", output, re.MULTILINE)
    assert len(losses) == 3
    assert "300 pushes, staleness mean" in output
    curves = ET.parse(picture).getroot().findall("{http://www.w3.org/2000/svg}polyline")
    assert [len(curve.attrib["points"].split()) for curve in curves] == [3, 3]


def test_train_digits(tmp_path: Path) -> None:
    output = run(tmp_path, "train_digits", "--epochs", "1")
    assert "HOGWILD!, 1 epochs" in output
    assert "in lockstep, 5 rounds" in output
