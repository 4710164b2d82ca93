"""What functions are found to need."""

import importlib
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from asyncfabric import SerializationError
from asyncfabric.shipping import _missing
from asyncfabric.shipping._missing import missing_error, requirement
from asyncfabric.shipping._survey import Survey, survey
from asyncfabric_runtime import PYTHON
from tests.shipping import byreference
from tests.shipping.projects import importing, prepend, write


def _files(found: Survey) -> list[str]:
    return [file.name for file in found.files]


def test_whose_modules_are(project: Path) -> None:
    write(project, {"mine.py": ""})
    found = survey(
        [importing("import json, mine", "import asyncfabric, cloudpickle", "import numpy as np")]
    )
    assert [place.top for place in found.own] == ["mine"]
    assert found.need == (("numpy",), ())
    assert found.python == PYTHON


def test_a_function_of_builtins_needs_nothing(project: Path) -> None:
    found = survey([importing("import os, sys, math"), len])
    assert found.files == ()
    assert found.need == ((), ())


def test_functions_that_travel_by_name(project: Path) -> None:
    found = survey([byreference.plain])
    assert "tests/shipping/byreference.py" in _files(found)
    import numpy as np

    assert survey([np.sin, np.linalg.norm]).need.required == ("numpy",)
    assert survey([np.float64(3).__add__]).need.required == ("numpy",)


def test_modules_that_a_function_has_as_globals_and_arguments(project: Path) -> None:
    import numpy as np

    write(project, {"one.py": "", "two.py": "class Two: pass"})
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(
        "import one, two\nfrom functools import partial\n"
        "def use(x, kind):\n    return one\n"
        "def typed(x: 'Two') -> None: ...\n"
        "call = partial(use, kind=two.Two)",
        namespace,
    )
    assert _files(survey([namespace["call"]])) == ["one.py", "two.py"]
    assert survey([importing("return table", table=np.zeros(3))]).need.required == ("numpy",)


def test_imports_of_modules_are_followed(project: Path) -> None:
    write(
        project,
        {
            "a.py": "from b import x",
            "b.py": "class K:\n    def f(self):\n        from c.d import y\n",
            "c/__init__.py": "",
            "c/d.py": "import importlib\nimportlib.import_module('e')\n__import__('f')",
            "c/unused.py": "import g",
            "e.py": "",
            "f.py": "",
            "g.py": "while True:\n    match 1:\n        case 1:\n            import h\n",
            "h.py": "with open('x') as f:\n    import i\nelse_ = 1",
            "i.py": "import a",
            "not_imported.py": "",
        },
    )
    assert _files(survey([importing("import a")])) == [
        "a.py", "b.py", "c/__init__.py", "c/d.py", "c/unused.py", "e.py", "f.py", "g.py", "h.py",
        "i.py",
    ]  # fmt: skip


def test_imports_for_the_type_checker_are_not(project: Path) -> None:
    write(
        project,
        {
            "a.py": """
import typing
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import only_types
if typing.TYPE_CHECKING:
    from only_types import X
else:
    import b
if __name__ == "__main__":
    import click_of_mine
""",
            "b.py": "",
            "only_types.py": "",
            "click_of_mine.py": "",
        },
    )
    assert _files(survey([importing("import a")])) == ["a.py", "b.py"]


@pytest.mark.parametrize(
    ("source", "required"),
    [
        ("import numpy", True),
        ("from numpy.linalg import norm", True),
        ("class A:\n    import numpy", True),
        ("try:\n    pass\nfinally:\n    import numpy", True),
        ("try:\n    import numpy\nexcept ValueError:\n    pass", True),
        ("with open(__file__):\n    import numpy", True),
        ("from .inner import numpy_user", True),
        ("from . import inner", True),
        ("try:\n    import numpy\nexcept ImportError:\n    pass", False),
        ("try:\n    import numpy\nexcept (OSError, ModuleNotFoundError):\n    pass", False),
        ("try:\n    import json\nexcept ImportError:\n    import numpy", False),
        ("import contextlib\nwith contextlib.suppress(ImportError):\n    import numpy", False),
        ("import sys\nif sys.platform == 'plan9':\n    import numpy", False),
        ("def unused():\n    import numpy", False),
        ("try:\n    from . import inner\nexcept ImportError:\n    pass", False),
        ("", False),  # only pkg.inner imports it, and nothing imports that
    ],
)
def test_what_is_required_and_what_is_optional(project: Path, source: str, required: bool) -> None:
    write(project, {"pkg/__init__.py": source, "pkg/inner.py": "import numpy\nnumpy_user = 1"})
    need = survey([importing("import pkg")]).need
    assert need == ((("numpy",), ()) if required else ((), ("numpy",)))


@pytest.mark.parametrize(
    ("source", "required"),
    [
        ("import numpy", True),
        ("def inner():\n    import numpy", True),
        ("try:\n    import numpy\nfinally:\n    pass", True),
        ("try:\n    import numpy\nexcept ValueError:\n    pass", True),
        ("try:\n    import numpy\nexcept ImportError:\n    pass", False),
        ("try:\n    import numpy\nexcept:\n    pass", False),
        ("import importlib\nimportlib.import_module('numpy')", False),
    ],
)
def test_imports_in_functions_of_main(project: Path, source: str, required: bool) -> None:
    """Read from their bytecode: such a function may have no source file."""
    need = survey([importing(source)]).need
    assert need == ((("numpy",), ()) if required else ((), ("numpy",)))


def test_a_function_of_a_module_requires_what_it_imports_itself(project: Path) -> None:
    """And what functions import that it names, but not what others of its module do."""
    write(
        project,
        {
            "jobs_of_mine.py": """
import functools
import tools_of_mine
class Model:
    def fit(self):
        import numpy
def decorated(function):
    @functools.wraps(function)
    def wrapper(x):
        return function(x)
    return wrapper
@decorated
def run(x):
    return tools_of_mine.use(Model())
def report():
    import psutil
""",
            "tools_of_mine.py": """
def use(x):
    import hypothesis
def no():
    import pluggy
""",
        },
    )
    need = survey([importlib.import_module("jobs_of_mine").run]).need
    assert need.required == ("hypothesis", "numpy")
    assert set(need.optional) == {"pluggy", "psutil"}


def test_parts_of_a_namespace_package_are_asked_for_by_their_own_names(
    tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = ["company/core/__init__.py", "maker/of/things/__init__.py", "maker/of/more.py"]
    prepend(monkeypatch, write(tmp_path / "site-packages", dict.fromkeys(installed, "")))
    source = (
        "from company import core\nfrom maker.of.things import thing\nfrom maker.of import more"
    )
    write(project, {"company/mine.py": source})
    found = survey([importing("import company.mine")])
    assert _files(found) == ["company/mine.py"]
    assert found.need.required == ("company.core", "maker.of.more", "maker.of.things")


def test_what_pip_installed_into_a_directory_is_third_party(
    tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = write(tmp_path / "deps", {"dep.py": "", "dep-1.0.dist-info/METADATA": ""})
    prepend(monkeypatch, target)
    assert survey([importing("import dep")]).need.required == ("dep",)


def test_what_is_not_here_at_all(project: Path) -> None:
    """A worker may have it, so it is asked for, where nothing catches its absence."""
    write(project, {"mine.py": "def late():\n    import not_here_either\n"})
    found = survey(
        [
            importing(
                "import not_here", "import mine", "try:\n import nor_this\nexcept ImportError: 0"
            )
        ]
    )
    assert found.need == (("not_here",), ())


def test_a_zip_file_on_the_path(
    tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / "code.zip", "w") as archive:
        archive.writestr("zipped.py", "")
    prepend(monkeypatch, tmp_path / "code.zip")
    with pytest.raises(SerializationError, match=r"'zipped' is imported from .*code\.zip.*unpack"):
        survey([importing("import zipped")])


def test_a_module_with_a_name_of_the_standard_library(project: Path) -> None:
    write(project, {"this.py": ""})
    with pytest.raises(SerializationError, match=r"this\.py has the name of .* another name"):
        survey([importing("import this")])


def test_bytecode_alone(project: Path) -> None:
    import py_compile

    source = write(project, {"sourceless.py": ""}) / "sourceless.py"
    py_compile.compile(str(source), str(project / "sourceless.pyc"))
    source.unlink()
    with pytest.raises(SerializationError, match="only as bytecode"):
        survey([importing("import sourceless")])


def test_files_that_are_no_python_are_no_trouble(project: Path) -> None:
    write(
        project,
        {
            "pkg/__init__.py": "from .good import x",
            "pkg/template.py": "import {{ name }}",
            "pkg/zero.py": b"import os\0",
            "pkg/latin.py": b"# -*- coding: latin-1 -*-\nimport other_of_mine  # \xe9",
            "pkg/good.py": "x = 1",
            "other_of_mine.py": "",
        },
    )
    assert "other_of_mine.py" in _files(survey([importing("import pkg")]))


def test_warnings_about_a_source_are_no_trouble(project: Path) -> None:
    """Also where they are errors, as in these tests."""
    write(project, {"escapes.py": "import other_of_mine\nX = '\\d'", "other_of_mine.py": ""})
    with pytest.raises(SyntaxError):
        compile((project / "escapes.py").read_text(), "escapes.py", "exec")
    assert _files(survey([importing("import escapes")])) == ["escapes.py", "other_of_mine.py"]


def test_one_error_names_all_that_is_missing(project: Path) -> None:
    write(project, {"mine.py": "import numpy, hypothesis, not_here"})
    found = survey([importing("import mine")])
    error = missing_error(["numpy", "not_here"], found, "price()")
    text = str(error)
    numpy, hypothesis = requirement("numpy"), requirement("hypothesis")
    assert text.startswith("price() needs packages that the workers don't have: not_here (not inst")
    assert f"numpy ({numpy.name} {numpy.version} here" in text if numpy else False
    assert f"imported by {project / 'mine.py'}" in text
    # All that the function needs: what is deployed replaces what was there.
    assert f'deploy --requirements "{hypothesis}" --requirements "{numpy}" (or' in text
    assert "what provides not_here" in text


@pytest.mark.parametrize(
    ("record", "advice"),
    [
        ({"url": "file:///src/mine", "dir_info": {}}, "from /src/mine travels with the calls if"),
        (
            {"url": "https://x.org/a.git", "vcs_info": {"vcs": "git", "commit_id": "12ab"}},
            '--requirements "origin-dep @ git+https://x.org/a.git@12ab"',
        ),
        ({"url": "file:///w/d-1.whl", "archive_info": {}}, '--requirements "/w/d-1.whl"'),
        ({}, '--requirements "origin-dep==1.0"'),
    ],
)
def test_packages_that_are_on_no_index(
    tmp_path: Path,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    record: dict[str, object],
    advice: str,
) -> None:
    site = write(
        tmp_path / "site-packages",
        {
            "origin_dep.py": "",
            "origin_dep-1.0.dist-info/METADATA": "Name: origin-dep\nVersion: 1.0+cpu\n",
            "origin_dep-1.0.dist-info/RECORD": "origin_dep.py,,\n",
            "origin_dep-1.0.dist-info/direct_url.json": json.dumps(record),
        },
    )
    prepend(monkeypatch, site)
    for cached in (_missing.requirement, _missing._by_import_name):
        cached.cache_clear()
    error = missing_error(["origin_dep"], survey([importing("import origin_dep")]), "f()")
    assert advice in str(error)
    for cached in (_missing.requirement, _missing._by_import_name):
        cached.cache_clear()


def test_distributions_by_the_names_of_their_modules() -> None:
    for name, distribution in (("_pytest", "pytest"), ("pytest_asyncio", "pytest-asyncio")):
        found = requirement(name)
        assert found is not None
        assert found.name == distribution
    assert requirement("no_such_module") is None
