"""The one stateless function of asyncfabric, and all that a worker needs to run it.

Every backend is a door to `execute(envelope) -> outcome`: the local worker process, the inline
backend, the AWS Lambda handler. The driver imports the rest: the wire format and the codec are the
same at both ends.

Importing this package loads neither asyncio nor cloudpickle nor any storage library.
"""

from ._context import Context as Context
from ._context import current as current
from ._envelope import PYTHON as PYTHON
from ._envelope import Convention as Convention
from ._envelope import Envelope as Envelope
from ._envelope import Plan as Plan
from ._execute import execute as execute
from ._failure import Failure as Failure
from ._outcome import Outcome as Outcome
from ._outcome import Phases as Phases
from ._ref import Ref as Ref
from ._wire import WIRE_VERSION as WIRE_VERSION
from ._wire import WireError as WireError

__all__ = [
    "PYTHON",
    "WIRE_VERSION",
    "Context",
    "Convention",
    "Envelope",
    "Failure",
    "Outcome",
    "Phases",
    "Plan",
    "Ref",
    "WireError",
    "current",
    "execute",
]
