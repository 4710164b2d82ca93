"""The tables of two stages: their input, how it is checked, and what is simulated."""

from pathlib import Path

import pytest

from asyncfabric.bsp import _shuffle, _sort
from asyncfabric.testing import Profile
from bench.data import check_sorted, write_records, write_text
from bench.peers.stages import RECORD, counted, words
from bench.simulations.stages import KEY, MIB, count_words, sort

CALM = Profile.calm()
GB = 10**9


def test_the_text_is_the_same_everywhere(tmp_path: Path) -> None:
    write_text(tmp_path / "text", 100_000)
    lines = (tmp_path / "text").read_text(encoding="ascii").splitlines()
    found = counted(lines)
    assert (sum(found.values()), len(found)) == (55_865, 15_904)
    assert words("The cat, the hat.") == ["the", "cat", "the", "hat"]


@pytest.mark.parametrize("spoiled", ["", "order", "lost", "changed"])
def test_what_is_not_sorted_is_found(tmp_path: Path, spoiled: str) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    write_records(source, 1000)
    data = b"".join(path.read_bytes() for path in source.iterdir())
    records = sorted(data[at : at + RECORD] for at in range(0, len(data), RECORD))
    if spoiled == "order":
        records[5:7] = records[6:4:-1]
    elif spoiled == "lost":
        del records[7]
    elif spoiled == "changed":
        records[9] = records[9][:KEY] + b"!" + records[9][KEY + 1 :]
    target.mkdir()
    (target / "0").write_bytes(b"".join(records[:300]))
    (target / "1").write_bytes(b"".join(records[300:]))
    if not spoiled:
        check_sorted(source, target, 1000)
        return
    with pytest.raises(AssertionError, match=r"in order|records instead of"):
        check_sorted(source, target, 1000)


def test_a_simulated_sort_makes_the_requests_of_its_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    """8 chunks of 1 GB, each read in parts of 32 MiB, and 8 partitions of half a GB each time."""
    ran = sort(CALM, 8 * GB, 8, 4096 * MIB, 1769)
    assert list(ran.phases) == ["sample", "deal", "sort"]
    parts, samples = -(-GB // (32 * MIB)), 8 * 8
    tasks = 32
    reads = ran.gets - samples - 8 * parts
    assert 8 * tasks <= reads <= 1.05 * 8 * tasks + 1  # and hedges
    monkeypatch.setattr(_sort, "TWO_LEVELS_READS", 1)
    ran = sort(CALM, 8 * GB, 8, 4096 * MIB, 1769)
    assert list(ran.phases) == ["sample", "deal", "regroup", "sort"]
    assert ran.seconds == pytest.approx(sum(ran.phases.values()), rel=0.01)


def test_a_simulated_word_count(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = count_words(CALM, GB, 20, 100_000, 1769)
    assert list(ran.phases) == ["map", "reduce"]
    assert 20 * 20 <= ran.gets - 20 * 2 <= 1.05 * 20 * 20 + 20  # each may ask for one twice
    assert ran.dollars > 0
    monkeypatch.setattr(_shuffle, "TWO_LEVELS_READS", 1)
    assert list(count_words(CALM, GB, 20, 100_000, 1769).phases) == ["map", "regroup", "reduce"]
