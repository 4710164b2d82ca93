"""Many seeds of the driver's property runs.

python -m tests.testing.simulated.seeds --seeds 10000
python -m tests.testing.simulated.seeds --seeds 10000 --jobs    # durable jobs, drivers that die
"""

import argparse
import sys
import time
import traceback

from .auditor import Audit
from .durable import Durable

_EVERY = 500
_DAYS = ("calm", "default", "heavy", "harsh")


def main(arguments: list[str] | None = None) -> int:
    """Run the seeds; print each that fails, with the command that repeats it."""
    parser = argparse.ArgumentParser(prog="python -m tests.testing.simulated.seeds")
    parser.add_argument("--seeds", type=int, default=10_000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first one")
    parser.add_argument("--day", choices=_DAYS, help="the cloud of all; random ones by default")
    parser.add_argument("--jobs", action="store_true", help="durable jobs whose drivers die")
    parser.add_argument("--history", help="write the history of the last one to this file")
    options = parser.parse_args(arguments)
    failed: list[int] = []
    began = time.perf_counter()
    for number, seed in enumerate(range(options.first, options.first + options.seeds), 1):
        audit = (Durable if options.jobs else Audit)(seed, options.day)
        try:
            audit.run()
        except Exception:  # noqa: BLE001 - whatever it is, the seed failed
            failed.append(seed)
            traceback.print_exc()
            again = command(seed, options.day, jobs=options.jobs)
            print(f"seed {seed} failed; repeat it: {again}", flush=True)
        if options.history and audit.cloud.history is not None:
            audit.cloud.history.dump(options.history)
        if number % _EVERY == 0:
            took = time.perf_counter() - began
            print(f"{number} seeds, {len(failed)} failed, {took:.0f} s", flush=True)
    print(f"{options.seeds} seeds, {len(failed)} failed: {failed}" if failed else "all passed")
    return 1 if failed else 0


def command(seed: int, day: str | None = None, *, jobs: bool = False) -> str:
    """Return what repeats a seed."""
    own = ("" if day is None else f" --day {day}") + (" --jobs" if jobs else "")
    return f"python -m tests.testing.simulated.seeds --first {seed} --seeds 1{own}"


if __name__ == "__main__":
    sys.exit(main())
