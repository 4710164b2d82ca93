"""Durable jobs: what is done stays done, whichever process dies.

`fabric.map(fn, items, job="prices")` makes a fan-out a job. Here is what else is done with jobs:

- `launch` leaves the calls of a job to AWS Lambda, and returns;
- `attach` gets the results of a job that another process runs or ran;
- `list` and `show` tell what there is and how far it is;
- `discard` forgets a job, `gc` deletes what no job needs any more.

All take a Fabric, a store, or the URL of one. See `docs/jobs.md`.
"""

from ._attach import Attached as Attached
from ._attach import Unfinished as Unfinished
from ._attach import attach as attach
from ._garbage import Collected as Collected
from ._launching import Launched as Launched
from ._launching import launch as launch
from ._lease import TakenOver as TakenOver
from ._listing import Summary as Summary
from ._managing import discard as discard
from ._managing import gc as gc
from ._managing import list_jobs as list  # noqa: A004 - as jobs.list it hides nothing
from ._managing import show as show

__all__ = [
    "Attached",
    "Collected",
    "Launched",
    "Summary",
    "TakenOver",
    "Unfinished",
    "attach",
    "discard",
    "gc",
    "launch",
    "list",
    "show",
]
