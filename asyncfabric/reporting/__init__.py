"""What happens in a Fabric, as events for whoever wants to show or count it."""

from ._events import CallsAnswered as CallsAnswered
from ._events import CallsReturned as CallsReturned
from ._events import Event as Event
from ._events import InvocationLaunched as InvocationLaunched
from ._events import Observer as Observer
from ._events import WorkerLost as WorkerLost

__all__ = [
    "CallsAnswered",
    "CallsReturned",
    "Event",
    "InvocationLaunched",
    "Observer",
    "WorkerLost",
]
