"""What is looked at and not late can't be due at once: else a map would go round in circles."""

from hypothesis import given
from hypothesis import strategies as st

from asyncfabric.scheduling import FanOut, Hedge, Pace

_EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("launch"), st.integers(1, 20)),
        st.tuples(st.just("answer"), st.integers(0, 50)),
        st.tuples(st.just("return"), st.integers(0, 50)),
        st.tuples(st.just("begin"), st.integers(0, 50)),
        st.tuples(st.just("tell"), st.integers(0, 50)),
        st.tuples(st.just("wait"), st.floats(0.0, 3.0)),
        st.tuples(st.just("ring"), st.none()),
    ),
    max_size=60,
)
_POLICIES = st.sampled_from(
    [Hedge(), Hedge(least=0.0), Hedge(chance=0.4, factor=1.0, share=1.0, least=0.0)]
)


class Map:
    """A map on a clock that is set, whose alarm rings when it is due."""

    def __init__(self, hedge: Hedge) -> None:
        self.fan_out = FanOut(Pace(), lanes=1000, chunksize=1, hedge=hedge)
        self.now = 1.0
        self.last = 0
        self.told: dict[int, float] = {}

    def do(self, event: str, number: float) -> None:
        fan_out = self.fan_out
        if event == "launch":
            fan_out.offer(range(int(number)))
            while (batch := fan_out.take(self.now)) is not None:
                self.last += 1
                fan_out.launched(self.last, batch, self.now, cold=self.last < 5)
        elif event == "wait":
            self.now += number
        elif fan_out.flights:
            flight = list(fan_out.flights)[int(number) % len(fan_out.flights)]
            if event == "answer":
                busy = 0.8 * (self.now - fan_out.flights[flight].launched)
                fan_out.ran(flight, 1, busy, 0, self.now)
                fan_out.succeeded(flight, [0], [0], None)
            elif event == "return":
                fan_out.returned(flight, None)
            elif event == "begin":
                fan_out.began(flight, self.now - 0.1)
            else:
                self.told[flight] = min(1.0, self.told.get(flight, 0.0) + 0.1)
                fan_out.progressed(flight, 0, self.told[flight], self.now)
            fan_out.losers()

    def ring(self) -> None:
        """Let the time of the alarm come, and copy what is late until nothing more is."""
        fan_out = self.fan_out
        due = fan_out.next_due()
        if due is None:
            return
        self.now = max(self.now, due)
        for _ in range(10):
            late = fan_out.look(self.now)
            copies = 0
            while (found := fan_out.copy(self.now)) is not None:
                copies += 1
                self.last += 1
                fan_out.launched(self.last, found[1], self.now, copy_of=found[0])
            due = fan_out.next_due()
            if due is None or due > self.now:
                return
            # A copy may be worth another at once; but what was looked at in vain has its time.
            assert copies
            assert late
        raise AssertionError(f"still due at {due} of {self.now}")


@given(_POLICIES, _EVENTS)
def test_an_alarm_that_rings_leads_to_a_later_one(
    hedge: Hedge, events: list[tuple[str, float | None]]
) -> None:
    map_ = Map(hedge)
    for event, number in events:
        if number is None:
            map_.ring()
        else:
            map_.do(event, number)
    map_.ring()
