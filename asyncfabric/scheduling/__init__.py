"""The decisions of a fan-out, without IO: no clock, no await, no random numbers of its own.

`FanOut` decides for one map: what to launch next, what to try again, what is delivered and in what
order. `Admission` decides among the maps of a Fabric: whose turn it is, and how many attempts may
run at once. `Concurrency` learns how much a service that throttles takes. All are told what
happened, with the time and a random number where they need one, and are asked what to do;
`asyncfabric._dispatch` and the backends are their shell.
"""

from ._admission import Admission as Admission
from ._batch import Batch as Batch
from ._concurrency import Concurrency as Concurrency
from ._fanout import FanOut as FanOut
from ._order import Block as Block
from ._order import InOrder as InOrder
from ._order import Order as Order
from ._pace import Pace as Pace
from ._retry import Retry as Retry

__all__ = [
    "Admission",
    "Batch",
    "Block",
    "Concurrency",
    "FanOut",
    "InOrder",
    "Order",
    "Pace",
    "Retry",
]
