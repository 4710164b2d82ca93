"""Which programs are one and the same job, and which are not."""

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asyncfabric import SerializationError
from asyncfabric.shipping._archive import Archive, build_archive
from asyncfabric.shipping._compiled import Target
from asyncfabric.shipping._identity import MOST_FILES, Identity, identify
from asyncfabric.shipping._survey import survey
from tests.shipping import byreference
from tests.shipping.projects import write


def _defined(program: str, name: str = "price") -> Callable[..., Any]:
    """Run code as if it were a user's main module, and return a function of it."""
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(textwrap.dedent(program), "<a cell>", "exec"), names)
    found: Callable[..., Any] = names[name]
    return found


def _of(program: str, name: str = "price") -> Identity:
    return identify(_defined(program, name))


def test_what_does_not_count() -> None:
    """Comments, blank lines, docstrings, annotations, line breaks, and what isn't referred to."""
    first = _of("""
        import math
        RATE = 3
        OTHER = 4
        def price(x):
            y = x + RATE
            return helper(y, 2)
        def helper(a, b):
            pass
            return math.floor(a) * b
        """)
    second = _of('''
        import math
        def helper(a: int, b: "str") -> float:
            """Says what it does."""

            # and how
            pass

            return (
                math.floor(a)
                * b
            )
        def unrelated(): return OTHER
        OTHER = 5
        RATE = 3
        def price(x):
            "A docstring."
            y = (x +
                 RATE)
            return helper(
                y,
                2,
            )
        ''')
    assert first.differences(second) == []
    assert first == second
    assert first.digest == second.digest


BEFORE = """
    import functools, math
    RATE = 1
    TABLE = {"a": [1]}
    class Kind:
        level = 1
        def get(self): return self.level
    def helper(x): return x + RATE
    @functools.lru_cache
    def cached(x): return x * 2
    def make(n):
        def inner(x): return x + n
        return inner
    inner = make(1)
    part = functools.partial(helper, 1)
    def price(x, y=1, *, z=2):
        return helper(x) + y + 10 + Kind().get() + inner(x) + math.floor(x) + part() + cached(1)
"""

CHANGES: dict[str, tuple[str, str, list[str]]] = {
    "a constant": ("y + 10", "y + 11", ["function price: a constant in its code changed"]),
    "a type of constant": (
        "y + 10",
        "y + 10.0",
        ["function price: a constant in its code changed"],
    ),
    "code": ("y + 10", "y - 10", ["function price: its code changed"]),
    "a name it uses": (
        "math.floor",
        "math.ceil",
        ["function price: its code changed"],
    ),
    "a default": ("y=1", "y=3", ["function price: its default y changed"]),
    "a keyword default": ("z=2", "z=3", ["function price: its default z changed"]),
    "an argument": (
        "*, z=2",
        "z=2",
        ["function price: its arguments changed"],
    ),
    "a global of a helper": ("RATE = 1", "RATE = 2", ["function helper: its global RATE changed"]),
    "a helper": ("x + RATE", "x - RATE", ["function helper: its code changed"]),
    "a closure": ("make(1)", "make(2)", ["function make.<locals>.inner: n of its closure changed"]),
    "a method": (
        "return self.level",
        "return -self.level",
        ["function Kind.get: its code changed"],
    ),
    "a class attribute": ("level = 1", "level = 2", ["class Kind: its level changed"]),
    "a base class": ("class Kind", "class Kind(dict)", ["class Kind: its bases changed"]),
    "what is cached": (
        "return x * 2",
        "return x * 3",
        ["function cached: a constant in its code changed"],
    ),
    "an argument of a partial": (
        "partial(helper, 1)",
        "partial(helper, 2)",
        ["function price: its global part changed"],
    ),
    "one global more": (
        "y + 10",
        "y + TABLE",
        [
            "function price: a constant in its code changed",  # of those that are left
            "function price: its code changed",
            "function price: its global TABLE is new",
        ],
    ),
    "a builtin that is hidden": (
        "RATE = 1",
        "RATE = 1\n    floor = abs = len",
        [],  # nothing refers to either
    ),
}


@pytest.mark.parametrize(("old", "new", "lines"), CHANGES.values(), ids=CHANGES)
def test_what_counts_is_named(old: str, new: str, lines: list[str]) -> None:
    assert old in BEFORE
    before, after = _of(BEFORE), _of(BEFORE.replace(old, new))
    assert before.differences(after) == lines
    assert (before.digest == after.digest) is (not lines)


def test_a_builtin_that_is_hidden_by_a_global() -> None:
    before = _of("def price(x): return abs(x)")
    after = _of("def abs(x): return x\ndef price(x): return abs(x)")
    assert before.differences(after) == [
        "function abs is new",
        "function price: its global abs is new",
    ]


def test_another_function() -> None:
    program = "def price(x): return x\ndef cost(x): return x"
    assert _of(program).differences(_of(program, "cost")) == [
        "function cost is new",
        "function price is gone",
        "what is called changed",
    ]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("lambda x: x + 1", "lambda x: x + 2"),
        ("lambda x: x", "lambda y: y"),
        ("lambda: {1, 2}", "lambda: [1, 2]"),
        ("lambda x: x in {1, 2}", "lambda x: x in {1, 3}"),
        ("lambda x: x.a", "lambda x: x.b"),
        ("lambda x: x < 1", "lambda x: x > 1"),
        ("lambda x: [y for y in x if y]", "lambda x: [y for y in x]"),
        ("lambda x: x if x else 1", "lambda x: 1 if x else x"),
        ("lambda x: f(a=x)", "lambda x: f(b=x)"),
        ("lambda x: f(a=x, b=1)", "lambda x: f(b=x, a=1)"),
        ("lambda x: 1", "lambda x: True"),
        ("lambda x: 0.0", "lambda x: -0.0"),
        ("lambda x: ''", "lambda x: b''"),
        ("lambda *x: x", "lambda **x: x"),
        ("lambda: (yield)", "lambda: None"),
        ("lambda x: (lambda: x + 1)", "lambda x: (lambda: x + 2)"),
        ("lambda x: 'a' 'b'", "lambda x: 'ac'"),
        ("lambda x: f'{x!r}'", "lambda x: f'{x!s}'"),
        ("lambda x: x[1:2]", "lambda x: x[1:2:3]"),
        ("lambda x: 10**40", "lambda x: 10**41"),
    ],
)
def test_small_differences(first: str, second: str) -> None:
    old, new = (_of(f"price = {text}") for text in (first, second))
    assert old.digest != new.digest
    assert old == _of(f"\n\nprice = {first}")


def test_exception_handlers_and_jumps() -> None:
    guarded = """
        def price(x):
            try:
                a(x)
                {inside}
            except ValueError:
                c(x)
            {outside}
        """
    inside = _of(guarded.format(inside="b(x)", outside=""))
    outside = _of(guarded.format(inside="", outside="b(x)"))
    assert "function price: its code changed" in inside.differences(outside)
    # The same instructions, of which fewer are guarded.
    both = _of("def price(x):\n try:\n  a(x)\n  b(x)\n except V:\n  c(x)")
    first = _of("def price(x):\n try:\n  a(x)\n except V:\n  c(x)\n else:\n  b(x)")
    assert both.differences(first) == ["function price: its code changed"]


def test_functions_of_one_name_are_told_apart() -> None:
    program = """
        def make(n):
            return lambda x: x + n
        table = [make(1), make({second})]
        def price(x):
            return table[0](x) * table[1](x)
        """
    before, after = _of(program.format(second=2)), _of(program.format(second=3))
    assert before.differences(after) == [
        "function make.<locals>.<lambda> #2: n of its closure changed"
    ]


def test_what_can_be_imported_counts_by_its_name() -> None:
    assert set(identify(byreference.plain).parts) == {"what is called"}
    assert identify(byreference.plain) != identify(byreference.scaled)
    assert identify(len) != identify(abs)
    assert identify("a".join) != identify("b".join)


def test_callable_objects_and_methods() -> None:
    program = """
        class Model:
            def __init__(self, rate): self.rate = rate
            def __call__(self, x): return x * self.rate
            def run(self, x): return x + self.rate
        model = Model({rate})
        run = model.run
        """
    for name in ("model", "run"):
        before, same, after = (_of(program.format(rate=rate), name) for rate in (1, 1, 2))
        assert before == same
        assert before.differences(after) == ["what is called changed"]
        edited = _of(program.replace("x * self", "x / self").format(rate=1), name)
        assert before.differences(edited) == ["function Model.__call__: its code changed"]


def test_modules_made_at_run_time_count_by_what_they_hold() -> None:
    program = """
        import types
        made = types.ModuleType("made")
        made.limit = {limit}
        def price(x): return made.limit
        """
    before, after = (_of(program.format(limit=limit)) for limit in (1, 2))
    assert before.differences(after) == ["function price: its global made changed"]


def test_a_version_stands_for_all_of_it() -> None:
    function, other = _defined(BEFORE), _defined(BEFORE.replace("10", "11"))
    first = identify(function, version="1")
    assert first == identify(other, version="1")
    assert first.differences(identify(function, version="2")) == [
        "version='1' is gone",
        "version='2' is new",
    ]


def test_an_initializer_counts() -> None:
    function, initializer = _defined(BEFORE), _defined("def start(): return 1", "start")
    other = _defined("def start(): return 2", "start")
    before = identify(function, initializer=initializer)
    assert identify(function).differences(before)
    assert before.differences(identify(function, initializer=other)) == [
        "function start: a constant in its code changed"
    ]


@pytest.mark.parametrize(
    ("define", "why"),
    [
        ("import threading; part = threading.Lock()", "_thread.lock in it can't be pickled"),
        ("part = []; part.append(part)", "a list in it refers to itself"),
        ("part = (x for x in ())", "generator in it can't be pickled"),
        ("part = 1\nfor _ in range(3000): part = [part]", "nested too deeply"),
    ],
)
def test_what_has_no_form_is_named(define: str, why: str) -> None:
    with pytest.raises(SerializationError) as raised:
        _of(f"{define}\ndef price(): return part")
    text = str(raised.value)
    assert text.startswith("function price: its global part can't be compared")
    assert why in text
    assert "version='1'" in text


def test_many_shared_parts_take_no_longer() -> None:
    """A value of 2**60 parts, all the same few objects."""
    before = _of("part = []\nfor _ in range(60): part = [part, part]\ndef price(): return part")
    assert before.parts


# files of the user's own


def _archive(function: Callable[..., Any]) -> Archive:
    return build_archive(survey([function]), Target("x86_64", "3.11"))


def _project(root: Path, **files: str) -> Callable[..., Any]:
    write(root, {"mine/__init__.py": "", **files})
    return _defined("import mine.util\ndef price(x): return mine.util.f(x)")


def test_files_of_the_users_own_are_parts(project: Path) -> None:
    function = _project(project, **{"mine/util.py": "def f(x): return x"})
    before = identify(function, archive=_archive(function))
    assert "file mine/util.py" in before.parts
    write(project, {"mine/util.py": "def f(x): return -x", "mine/more.py": ""})
    after = identify(function, archive=_archive(function))
    assert before.differences(after) == ["file mine/more.py is new", "file mine/util.py changed"]


def test_of_many_files_the_packages_are_parts(project: Path) -> None:
    function = _project(
        project,
        **{"mine/util.py": "def f(x): return x"},
        **{f"mine/f{number}.py": "" for number in range(MOST_FILES)},
    )
    before = identify(function, archive=_archive(function))
    assert "package mine" in before.parts
    write(project, {"mine/f3.py": "x = 1"})
    after = identify(function, archive=_archive(function))
    assert before.differences(after) == ["package mine changed"]
