"""The decisions of a fan-out, without IO: no clock, no await, no random numbers of its own.

`FanOut` decides for one map: what to launch next, what to try again and what a copy of, what is
delivered and in what order. `Admission` decides among the maps of a Fabric: whose turn it is, how
much may run at once and how much is tried again. Both are told what happened, with the time and a
random number where they need one, and are asked what to do; `asyncfabric._dispatch` is their shell.
`Retry`, `Hedge` and `Limit` say how they decide.
"""

from ._admission import Admission as Admission
from ._batch import Batch as Batch
from ._budget import Budget as Budget
from ._fanout import FanOut as FanOut
from ._hedge import Hedge as Hedge
from ._limit import Limit as Limit
from ._order import Block as Block
from ._order import InOrder as InOrder
from ._order import Order as Order
from ._pace import Pace as Pace
from ._retry import Retry as Retry
from ._throttle import Pauses as Pauses

__all__ = [
    "Admission",
    "Batch",
    "Block",
    "Budget",
    "FanOut",
    "Hedge",
    "InOrder",
    "Limit",
    "Order",
    "Pace",
    "Pauses",
    "Retry",
]
