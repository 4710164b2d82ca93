"""When a packed function is used again, and when it is packed anew."""

import gc
import weakref
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any

import cloudpickle
import pytest

from asyncfabric import SerializationError
from asyncfabric.shipping import _functions, ship
from asyncfabric_runtime._packing import unpack_object
from tests.shipping import byreference
from tests.shipping.programs import run

PRELUDE = """
import os
LIMIT = 3
def helper(x):
    return x + LIMIT
def call(x, y=1, *, z=2):
    return helper(x) + y + z
def cell(value):
    def inner():
        return value
    return inner
def other(x):
    return -x
def constant(x, y, *, z):
    return 0
"""


def _namespace(body: str = PRELUDE) -> dict[str, Any]:
    """Run code as if it were a user's main module: what it defines travels by value."""
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(body, names)
    return names


def _result(function: Callable[..., Any], *args: object) -> Any:
    return unpack_object(ship(function).data)(*args)


def test_the_same_function_is_packed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    names = _namespace()
    before = ship(names["call"])
    monkeypatch.setattr(_functions, "pack_object", None)
    assert ship(names["call"]) is before
    with pytest.raises(SerializationError):
        ship(names["other"])


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "a global": lambda names: names.update(LIMIT=4),
    "a global of the same value": lambda names: names.update(LIMIT=3.0),
    "a global of a helper": lambda names: names.update(helper=names["other"]),
    "a global that is gone": lambda names: names.pop("LIMIT"),
    "a global instead of a builtin": lambda names: names.update(abs=names["other"]),
    "code": lambda names: setattr(names["call"], "__code__", names["constant"].__code__),
    "code of a helper": lambda names: setattr(names["helper"], "__code__", names["other"].__code__),
    "defaults": lambda names: setattr(names["call"], "__defaults__", (5,)),
    "keyword defaults": lambda names: setattr(names["call"], "__kwdefaults__", {"z": 5}),
    "a keyword default in place": lambda names: names["call"].__kwdefaults__.update(z=5),
    "an attribute": lambda names: setattr(names["call"], "mark", 1),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_was_rebound_is_seen(change: Callable[[dict[str, Any]], object]) -> None:
    names = _namespace(PRELUDE.replace("return helper(x)", "return abs(0) + helper(x)"))
    before = ship(names["call"])
    assert ship(names["call"]) is before
    change(names)
    assert ship(names["call"]) is not before


def test_a_name_that_appears_is_seen() -> None:
    names = _namespace("def call():\n    return missing")
    with pytest.raises(NameError):
        _result(names["call"])
    names["missing"] = None
    assert _result(names["call"]) is None
    names["missing"] = 7
    assert _result(names["call"]) == 7


def test_a_closure_is_seen() -> None:
    names = _namespace()
    inner = names["cell"](1)
    assert _result(inner) == 1
    inner.__closure__[0].cell_contents = 2
    assert _result(inner) == 2
    inner.__closure__[0].cell_contents = names["other"]
    assert _result(inner)(3) == -3
    del inner.__closure__[0].cell_contents
    with pytest.raises(NameError):
        _result(inner)


MUTABLE = {
    "list": ("part = [1]", "part.append(2)", "list(part)"),
    "dict": ("part = {'a': 1}", "part['b'] = 2", "dict(part)"),
    "instance": (
        "class Kind:\n    pass\npart = Kind()\npart.x = 1",
        "part.x = 2",
        "part.x",
    ),
    "class": ("class part:\n    x = 1", "part.x = 2", "part.x"),
    "list in a tuple": ("part = ([1], 2)", "part[0].append(2)", "list(part[0])"),
    "subclass of int": (
        "class Kind(int):\n    pass\npart = Kind(1)\npart.x = 1",
        "part.x = 2",
        "part.x",
    ),
    "module made at run time": (
        "import types\npart = types.ModuleType('made')\npart.x = 1",
        "part.x = 2",
        "part.x",
    ),
}


@pytest.mark.parametrize("case", MUTABLE.values(), ids=MUTABLE)
@pytest.mark.parametrize("how", ["global", "closure", "default", "keyword default", "helper"])
def test_what_is_mutable_is_sent_as_it_is_now(case: tuple[str, str, str], how: str) -> None:
    define, change, show = case
    definitions = {
        "global": f"def call():\n    return {show}",
        "closure": f"def make(part):\n    return lambda: {show}\ncall = make(part)",
        "default": f"def call(part=part):\n    return {show}",
        "keyword default": f"def call(*, part=part):\n    return {show}",
        "helper": f"def helper():\n    return {show}\ndef call():\n    return helper()",
    }
    program = f"""
import json
from asyncfabric_runtime._packing import unpack_object
{define}
{definitions[how]}
before = ship(call)
shown = [unpack_object(before.data)()]
{change}
after = ship(call)
print(json.dumps([before.digest != after.digest, call() == {show}]))
"""
    names: dict[str, Any] = {"__name__": "__main__", "ship": ship}
    written: list[str] = []
    exec(program, {**names, "print": written.append})
    assert written == ["[true, true]"]


def test_functions_of_functions() -> None:
    """Recursion, mutual and by a cell, ends; a wrapper's original is watched."""
    names = _namespace("""
import functools
def even(n):
    return n == 0 or odd(n - 1)
def odd(n):
    return n != 0 and even(n - 1)
def make():
    def down(n):
        return n and down(n - 1)
    return down
def scale(x):
    return x * FACTOR
@functools.wraps(scale)
def wrapper(x):
    return wrapper.__wrapped__(x)
FACTOR = 2
""")
    assert _result(names["even"], 4) is True
    down = names["make"]()
    assert _result(down, 4) == 0
    assert ship(down) is ship(down)
    before = ship(names["wrapper"])
    assert ship(names["wrapper"]) is before
    assert _result(names["wrapper"], 4) == 8
    names["FACTOR"] = 3
    assert _result(names["wrapper"], 4) == 12


@pytest.mark.parametrize("name", ["call", "even", "down", "helper"])
def test_a_packed_function_is_let_go(name: str) -> None:
    names = _namespace(
        PRELUDE
        + """
def even(n):
    return n == 0 or even(n - 1)
def make():
    def down(n):
        return n and down(n - 1)
    return down
down = make()
"""
    )
    kept = len(_functions._packed)
    ship(names[name])
    reference = weakref.ref(names[name])
    del names
    gc.collect()
    assert reference() is None
    assert len(_functions._packed) <= kept


def test_a_new_function_at_an_old_address() -> None:
    for number in range(100):
        assert _result(_namespace(f"def call():\n    return {number}")["call"]) == number


def test_the_number_of_kept_functions_is_bounded() -> None:
    kept = [_namespace()["call"] for _ in range(_functions._KEPT + 10)]
    for function in kept:
        ship(function)
    assert len(_functions._packed) == _functions._KEPT


def test_what_can_be_imported_travels_by_name() -> None:
    for function in (byreference.plain, len, ModuleType, byreference.Kind):
        assert len(ship(function).data) < 200
    assert _result(byreference.plain, 2) == 4


def test_modules_registered_to_travel_by_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """As cloudpickle has it, with the modules below them."""
    import tests.shipping

    pickling: Any = cloudpickle
    pickling.register_pickle_by_value(tests.shipping)
    try:
        before = ship(byreference.scaled)
        assert _result(byreference.scaled, 2) == 6
        monkeypatch.setattr(byreference, "FACTOR", 4)
        assert ship(byreference.scaled).digest != before.digest
        assert _result(byreference.scaled, 2) == 8
    finally:
        pickling.unregister_pickle_by_value(tests.shipping)


def test_a_function_replaced_in_its_module() -> None:
    """It can't be imported by its name any more, so it travels by value."""
    original = FunctionType(
        byreference.plain.__code__, byreference.__dict__, byreference.plain.__name__
    )
    assert unpack_object(ship(original).data) is not byreference.plain
    assert _result(original, 2) == 4


def test_digests_are_the_same_in_another_process() -> None:
    program = (
        PRELUDE
        + """
import json
def more(x, names=("b", "a"), *, table=None):
    return {"x": [call(y) for y in range(x)], "names": names, "l": (lambda: os.getpid())()}
print(json.dumps([ship(each).digest for each in (call, helper, cell(5), more)]))
"""
    )
    digests = [run(program, hash_seed=seed) for seed in (1, 2)]
    assert digests[0] == digests[1]


def test_digests_that_are_not() -> None:
    """What the module's docstring warns of: sets of strings and classes sent by value."""
    program = """
import json
class Kind:
    pass
def kinds():
    return Kind
def chosen(x):
    return x in {"one", "two", "three", "four", "five", "six"}
print(json.dumps([ship(each).digest for each in (kinds, chosen)]))
"""
    digests = [run(program, hash_seed=seed) for seed in (1, 2, 3)]
    assert len({kinds for kinds, _ in digests}) == 3
    assert len({chosen for _, chosen in digests}) > 1
