"""Lambda functions of the tests, run by real runtime processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any


def echo(event: Any, context: Any) -> Any:
    return event


def about(event: Any, context: Any) -> dict[str, Any]:
    client = context.client_context
    return {
        "pid": os.getpid(),
        "request_id": context.aws_request_id,
        "arn": context.invoked_function_arn,
        "name": context.function_name,
        "version": context.function_version,
        "memory": context.memory_limit_in_mb,
        "milliseconds": context.get_remaining_time_in_millis(),
        "custom": client.custom if client else None,
        "environment": dict(os.environ),
        "directory": str(Path.cwd()),
    }


def pid(event: Any, context: Any) -> int:
    return os.getpid()


def talk(event: Any, context: Any) -> None:
    for line in event:
        print(line)
    print("and an error", file=sys.stderr)


def fail(event: Any, context: Any) -> None:
    raise ValueError(event)


def end(event: int, context: Any) -> None:
    os._exit(event)


def die(event: int, context: Any) -> None:
    os.kill(os.getpid(), event)
    signal.pause()


def hang(event: Any, context: Any) -> None:
    signal.pause()


def hold(event: str, context: Any) -> int:
    """Answer once a file is there."""
    while not Path(event).exists():
        time.sleep(0.001)
    return os.getpid()


def large(event: int, context: Any) -> str:
    return "x" * (event - 2)  # and two quotes


def hoard(event: int, context: Any) -> None:
    hoarded = bytearray(event << 20)
    for page in range(0, len(hoarded), 4096):
        hoarded[page] = 1
    signal.pause()


def spike(event: int, context: Any) -> None:
    """Let go of the memory before anybody looks."""
    hoarded = bytearray(event << 20)
    for page in range(0, len(hoarded), 4096):
        hoarded[page] = 1


def hoard_in_a_child(event: int, context: Any) -> None:
    program = f"x = bytearray({event} << 20)\nfor i in range(0, len(x), 4096): x[i] = 1\ninput()"
    subprocess.run([sys.executable, "-c", program], stdin=subprocess.PIPE, check=True)
    signal.pause()


def leave_a_child(event: Any, context: Any) -> int:
    return subprocess.Popen(["sleep", "1000"]).pid


def write(event: str, context: Any) -> None:
    """Leave a mark."""
    with Path(event).open("a", encoding="utf-8") as file:
        file.write("x")
    raise RuntimeError("so that it is repeated")


def hold_with_child(event: Any, context: Any) -> None:
    """Leave two process ids in a file, and hang."""
    child = subprocess.Popen(["sleep", "1000"])
    (Path(os.environ["TMPDIR"]) / "pids").write_text(f"{os.getpid()} {child.pid}", encoding="utf-8")
    signal.pause()
