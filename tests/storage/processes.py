"""What other processes do to a store, for tests; run as `python -m tests.storage.processes`."""

import asyncio
import os
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from asyncfabric_storage import LocalStore, open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

_REPOSITORY = Path(__file__).parents[2]


def race(root: str, count: str, objects: str) -> None:
    """Forked copies of this process try to create the same objects at the same moment.

    Prints which objects each of them created, one process a line.
    """
    start_read, start_write = os.pipe()
    ready_read, ready_write = os.pipe()
    children: list[int] = []
    for number in range(int(count)):
        if child := os.fork():
            children.append(child)
            continue
        os.close(start_write)
        os.write(ready_write, b"r")
        os.read(start_read, 1)  # ends when the parent closes its end: for all at once
        created = asyncio.run(_create(root, number, int(objects)))
        os.write(1, " ".join(created).encode() + b"\n")
        os._exit(0)
    for _ in children:
        os.read(ready_read, 1)
    os.close(start_write)
    assert not any(os.waitpid(child, 0)[1] for child in children)


async def _create(root: str, number: int, objects: int) -> list[str]:
    store = LocalStore(root)
    data = [b"%d" % number * 50_000] * 4  # large, so that there is a time between look and leap
    created: list[str] = []
    for item in range(objects):
        key = f"race/{item}"
        if await store.put_if_absent(key, data):
            created.append(f"{key}={number}")
    return created


def replace(url: str) -> None:
    """Replace `k` by versions that each consist of one digit, until stdin is closed."""

    async def main() -> None:
        store = open_store(url)
        number = 0
        print("ready", flush=True)
        done = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        while not done.done():
            number = (number + 1) % 10
            await store.put("k", [b"%d" % number * 150_000] * 2)

    asyncio.run(main())


def write_forever(url: str) -> None:
    """Write 64 MiB to `big`, over and over."""

    async def main() -> None:
        store = open_store(url)
        data = [b"new " * 2**18] * 64
        print("ready", flush=True)
        while True:
            await store.put("big", data)

    asyncio.run(main())


def show(url: str, key: str) -> None:
    """Print an object."""

    async def main() -> bytes:
        return bytes(await open_store(url).get(key))

    print(asyncio.run(main()).decode())


def leave_temporary(ending: str) -> None:
    """Make a temporary store, print its root and end without closing it."""
    store = LocalStore.temporary()
    asyncio.run(store.put("k", b"1"))
    print(store.root, flush=True)
    if child := os.fork():
        os.waitpid(child, 0)
        if ending == "kept":
            print(asyncio.run(store.get("k")).tobytes().decode(), flush=True)
    else:
        store.remove()
        sys.exit()


@contextmanager
def running(*arguments: str) -> "Generator[subprocess.Popen[str]]":
    """Run a function of this module in a process of its own; kill it at the end."""
    command = [sys.executable, "-m", __name__, *arguments]
    pipe = subprocess.PIPE
    path = os.pathsep.join([str(_REPOSITORY), str(_REPOSITORY / "storage")])
    environment = {**os.environ, "PYTHONPATH": path}
    with ExitStack() as stack:
        process = stack.enter_context(
            subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment)
        )
        stack.callback(process.kill)
        yield process


def output(process: "subprocess.Popen[str]") -> IO[str]:
    """Return the standard output of a process started by `running`."""
    assert process.stdout is not None
    return process.stdout


def main(arguments: "Sequence[str]") -> None:
    """Call the function that is named first with the rest."""
    functions: dict[str, Callable[..., None]] = {
        "race": race,
        "replace": replace,
        "write_forever": write_forever,
        "show": show,
        "leave_temporary": leave_temporary,
    }
    functions[arguments[0]](*arguments[1:])


if __name__ == "__main__":
    main(sys.argv[1:])
