"""FanOuts and their Admission, against a service with limits and faults of its own."""

from hypothesis import given, settings
from hypothesis import strategies as st

from asyncfabric.scheduling import Retry
from tests.scheduling.service import Service


@settings(max_examples=300)
@given(
    seed=st.integers(0, 10**6),
    maps=st.lists(st.integers(1, 60), min_size=1, max_size=5),
    limit=st.integers(1, 40),
    most=st.integers(1, 60),
    failures=st.sampled_from([0.0, 0.02]),
    slow=st.sampled_from([0.0, 0.05]),
    cancelled=st.integers(0, 8),
)
def test_one_result_for_each_input(
    seed: int,
    maps: list[int],
    limit: int,
    most: int,
    failures: float,
    slow: float,
    cancelled: int,
) -> None:
    service = Service(seed, limit, most, failures=failures, slow=slow)
    for number, calls in enumerate(maps):
        service.add(calls, ordered=number % 2 == 0, retry=Retry(attempts=20))
    stopped = cancelled if cancelled < len(maps) else None
    if stopped is not None:
        service.run(until=1.5)
        service.cancel(stopped)
    service.run()
    assert service.running == 0
    assert service.admission.in_flight == 0
    assert not service.admission.waits
    for number, calls in enumerate(maps):
        if number == stopped:
            continue
        fan_out = service.fan_outs[number]
        assert fan_out.done
        assert fan_out.in_flight == 0
        assert sorted(service.order[number]) == list(range(calls))
        if number % 2 == 0:
            assert service.order[number] == list(range(calls))
        failed = {index for index, value in service.results[number].items() if value == 1}
        assert failed == set(fan_out.failures())
    assert service.copies <= 3 * len(maps) + 0.1 * service.launched


def test_fifty_maps_meet_a_limit_once() -> None:
    service = Service(1, 100, 100)
    for _ in range(50):
        service.add(80)
    service.run()
    assert service.refused == 0
    assert all(len(results) == 80 for results in service.results)


def test_a_limit_that_falls_to_a_fifth() -> None:
    for seed in range(5):
        service = Service(seed, 500, 500)
        service.add(4000)
        service.run(until=3.05)
        service.limit = 100
        service.run()
        assert len(service.results[0]) == 4000
        assert service.launched <= 1.3 * 4000
        # The last wave is not full.
        tail = [used for when, used in service.in_use if 18.05 < when < service.now - 3]
        assert min(tail) >= 0.7 * 100
        assert sum(tail) >= 0.9 * 100 * len(tail)


def test_a_service_that_is_broken_costs_little() -> None:
    service = Service(1, 100, 100, failures=1.0)
    service.add(1000, retry=Retry(attempts=5))
    service.run()
    assert service.launched <= 1000 + 10
    errors = service.fan_outs[0].failures().values()
    assert sum("not tried again" in str(getattr(error, "__notes__", "")) for error in errors) > 900
