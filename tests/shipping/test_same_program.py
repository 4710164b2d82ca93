"""A program is the same job in every process, wherever it stands and whatever the hash seed."""

from tests.shipping.programs import run

PROGRAM = '''
import abc, dataclasses, enum, functools, math, re, typing
import collections as also
RATE = 0.05
NAMES = {"one", "two", "three", "four", "five", "six"}
FROZEN = frozenset(NAMES)
TABLE = {name: {name + "!", name + "?"} for name in NAMES}
NESTED = [({"a", "b", "c"}, frozenset({("x", "y"), ("z",)}))]
PATTERN = re.compile("a+", re.I)

@dataclasses.dataclass(frozen=True)
class Point:
    x: int
    y: float = 2.0
    names: set = dataclasses.field(default_factory=set)
    def norm(self):
        return math.hypot(self.x, self.y) * RATE

class Colour(enum.Enum):
    RED = 1
    BLUE = "b"

class Flag(enum.Flag):
    A = 1
    B = 2

class Base(abc.ABC):
    __slots__ = ("value",)
    limit = {"p", "q", "r"}
    @abc.abstractmethod
    def run(self): ...
    @property
    def twice(self): return 2 * self.value
    @staticmethod
    def plain(x): return x
    @classmethod
    def make(cls): return cls()

class Derived(Base):
    def run(self): return super().run()
    @functools.cached_property
    def late(self): return 1

class Pair(typing.NamedTuple):
    left: int
    right: str = "r"

@functools.lru_cache(maxsize=3)
def cached(x):
    return x + RATE

@functools.singledispatch
def unused(x):
    return x

def even(n):
    """Whether it is."""
    return n == 0 or odd(n - 1)

def odd(n):
    return n != 0 and even(n - 1)

def adder(n):
    def add(x, *, y={"s", "t", "u"}):
        return x + n, y
    return add

ADD = {adder(1), adder(2), adder(3)}
POINT = Point(1)

@functools.wraps(even)
def wrapped(n):
    return wrapped.__wrapped__(n)

part = functools.partial(adder(4), 5, y=POINT)

async def price(x, y=(1, "two", {"k": {"l", "m", "n"}}), *rest, z=NAMES, **more):
    """Price of x."""
    class Local:
        rate = RATE
        def f(self):
            return __class__, self
    if x in {"one", "two", "three", "four"}:
        return cached(even(x))
    for name in sorted(NAMES | FROZEN):
        pass
    else:
        x += 1
    try:
        with open(x) as f:
            match f.read():
                case {"a": [1, *others]}:
                    return TABLE, NESTED, PATTERN, others
                case Point(x=1):
                    return POINT, Colour.RED, Flag.A, Pair(1)
    except (ValueError, *()) as error:
        raise KeyError(f"{error!r:>{x}}") from None
    finally:
        print(__name__, also.Counter, Derived, part, ADD)
    return [lambda a=a: a + RATE for a in range(x) if a % 2], wrapped(x), {**more}, (yield_(x))

def yield_(x):
    got = yield x
    yield from range(got)
'''

PRINT = """
import json
from asyncfabric.shipping._identity import identify
print(json.dumps(dict(identify(price).parts)))
"""


def test_the_same_program_is_the_same_job_in_every_process() -> None:
    seen = [run(PROGRAM + PRINT, hash_seed=seed) for seed in (1, 2, 3)]
    assert len(seen[0]) > 60
    assert seen[0] == seen[1] == seen[2]


def test_a_moved_file_and_another_cell() -> None:
    here = run(PROGRAM + PRINT)
    moved = "\n" * 77 + PROGRAM.replace("RATE = 0.05", "unrelated = 1\n\nRATE = 0.05") + PRINT
    assert run(moved) == here
    cell = f"""
names = {{"__name__": "__main__"}}
exec(compile({PROGRAM!r}, "<ipython-input-7>", "exec"), names)
price = names["price"]
"""
    assert run(cell + PRINT) == here
