"""Both ends of a journey, for programs of their own: `pack` in the driver, `main` in a worker.

Run as `python -m tests.shipping.carry DIRECTORY ARGUMENT`, it is a worker that gets what `pack`
left in the directory, and prints what the functions return.
"""

import json
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from asyncfabric.shipping import ship
from asyncfabric.shipping._archive import build_archive
from asyncfabric.shipping._compiled import Target
from asyncfabric.shipping._survey import survey
from asyncfabric_runtime import PYTHON
from asyncfabric_runtime._archives import Archives
from asyncfabric_runtime._packing import unpack_object


def pack(out: str, *functions: Callable[..., Any]) -> None:
    """Leave functions and their archive in a directory; print what there is to know."""
    found = survey(functions)
    archive = build_archive(found, Target(PYTHON, "x86_64"))
    shipped = [ship(function).data for function in functions]
    Path(out).mkdir(exist_ok=True)
    (Path(out) / "parcel").write_bytes(pickle.dumps((archive.digest, archive.data, shipped)))
    print(
        json.dumps(
            {
                "digest": archive.digest,
                "files": archive.files,
                "withheld": archive.withheld,
                "required": found.need.required,
                "optional": found.need.optional,
            }
        )
    )


def main(out: str, argument: str) -> None:
    """Be a worker."""
    digest, data, shipped = pickle.loads((Path(out) / "parcel").read_bytes())
    archives = Archives(str(Path(out) / "archives"))
    archives.install(digest, data)
    assert archives.activate(digest)
    print(json.dumps([unpack_object(each)(json.loads(argument)) for each in shipped]))


if __name__ == "__main__":
    main(*sys.argv[1:])
