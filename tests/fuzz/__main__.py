"""Fuzzing for as long as one likes.

python -m tests.fuzz --seconds 900 --target outcome
python -m tests.fuzz --seconds 900 --target outcome --engine atheris   # pip install atheris

Without `--target` every target gets the seconds. Inputs that break a law are written to a
directory, and `--repeat FILE --target NAME` runs one again.
"""

from __future__ import annotations

import argparse
import importlib
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import tracemalloc
from pathlib import Path
from random import Random
from typing import Any

_PACKAGES = ["asyncfabric", "asyncfabric_runtime", "asyncfabric_storage", "json", "zipfile"]
_MOST_SEEDS = 4000
MOST_BYTES = 64 * 1024 * 1024
"""Of memory that one message of a few hundred bytes may take."""
_LIMIT_BYTES = 3 << 30
_SLOW_SECONDS = 5.0


def main(arguments: list[str] | None = None) -> int:
    """Run the targets; return 1 if one broke a law."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--target", help="one of them; all by default")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--seed", type=int, default=0, help="of the changes, without atheris")
    parser.add_argument("--engine", choices=("changes", "atheris"), default="changes")
    parser.add_argument("--keep", help="directory for inputs that break a law")
    parser.add_argument("--repeat", help="run a target once, with the bytes of this file")
    options = parser.parse_args(arguments)
    keep = Path(options.keep or tempfile.mkdtemp(prefix="fuzz-"))
    keep.mkdir(parents=True, exist_ok=True)
    if options.engine == "atheris":
        return _atheris(options.target, options.seconds, keep)
    from .targets import TARGETS

    if options.repeat:
        TARGETS[options.target].run(Path(options.repeat).read_bytes())
        print("no law is broken")
        return 0
    broken = 0
    for name in [options.target] if options.target else list(TARGETS):
        broken += _changes(name, options.seconds, options.seed, keep)
    return 1 if broken else 0


def _changes(name: str, seconds: float, seed: int, keep: Path) -> int:
    """Run one target on changed messages; return how many different errors there were."""
    from .edits import edited, random_edit
    from .targets import TARGETS

    target, random = TARGETS[name], Random(f"{name} {seed}")
    messages = list(target.seeds)
    found: dict[str, bytes] = {}
    runs, peak, slowest = 0, 0, 0.0
    signal.signal(signal.SIGALRM, _hang)
    resource.setrlimit(resource.RLIMIT_AS, (_LIMIT_BYTES, _LIMIT_BYTES))
    tracemalloc.start()
    began = time.perf_counter()
    while (now := time.perf_counter()) - began < seconds:
        message = random.choice(messages) if runs >= len(messages) else messages[runs]
        if runs >= len(target.seeds):
            for _ in range(random.choice((1, 1, 1, 2, 3, 5, 9))):
                message = edited(message, random_edit(random), random.choice(messages))
        runs += 1
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        try:
            signal.setitimer(signal.ITIMER_REAL, 2 * _SLOW_SECONDS)
            target.run(message)
            signal.setitimer(signal.ITIMER_REAL, 0)
            took = time.perf_counter() - now
            used = tracemalloc.get_traced_memory()[1] - before
            assert used < MOST_BYTES, f"{used} bytes of memory"
            assert took < _SLOW_SECONDS, "it takes too long"
            peak, slowest = max(peak, used), max(slowest, took)
        except BaseException as error:
            signal.setitimer(signal.ITIMER_REAL, 0)
            if isinstance(error, KeyboardInterrupt):
                raise
            last = traceback.extract_tb(error.__traceback__)[-1]
            sign = f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}"
            if sign not in found:
                found[sign] = message
                path = keep / f"{name}-{len(found)}"
                path.write_bytes(message)
                print(f"{name}: {sign}: {error!s:.200}; the input is in {path}", flush=True)
        if len(messages) < _MOST_SEEDS and random.random() < 0.01 and len(message) < 100_000:
            messages.append(message)  # changes upon changes
    tracemalloc.stop()
    print(
        f"{name}: {runs:,} inputs in {seconds:.0f} s, {len(found)} errors, "
        f"at most {peak / 2**20:.1f} MB and {slowest * 1000:.0f} ms",
        flush=True,
    )
    return len(found)


class _Hang(BaseException):
    """A target has not come back."""


def _hang(*_: object) -> None:
    raise _Hang


def _atheris(name: str | None, seconds: int, keep: Path) -> int:
    """Run targets under atheris, each in a process of its own: libFuzzer ends the process."""
    if name is None:
        from .targets import TARGETS

        command = [sys.executable, "-m", "tests.fuzz", "--engine", "atheris"]
        command += ["--seconds", str(seconds), "--keep", str(keep)]
        runs = [subprocess.run([*command, "--target", each], check=False) for each in TARGETS]
        return 1 if any(run.returncode for run in runs) else 0
    try:
        atheris: Any = importlib.import_module("atheris")
    except ImportError:
        print("there is no atheris here; install it: pip install atheris")
        return 2
    with atheris.instrument_imports(include=_PACKAGES):
        from .targets import TARGETS
    target = TARGETS[name]
    corpus = keep / f"corpus-{name}"
    corpus.mkdir(exist_ok=True)
    for number, seed in enumerate(target.seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
    words = keep / "words"
    words.write_text(_words(), encoding="ascii")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    flags = [
        f"-max_total_time={seconds}",
        f"-artifact_prefix={keep}/{name}-",
        f"-dict={words}",
        "-rss_limit_mb=1500",
        f"-timeout={_SLOW_SECONDS:.0f}",
        "-max_len=8192",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], *flags, str(corpus)], target.run)
    atheris.Fuzz()
    return 0


def _words() -> str:
    """Return the pieces as libFuzzer's dictionary."""
    from .edits import PIECES

    return "".join('"' + "".join(f"\\x{byte:02x}" for byte in piece) + '"\n' for piece in PIECES)


if __name__ == "__main__":
    sys.exit(main())
