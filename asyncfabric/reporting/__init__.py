"""What happens in a Fabric: as a `Report`, and as events for whoever wants to show or count it."""

from ._events import CallsAnswered as CallsAnswered
from ._events import CallsReturned as CallsReturned
from ._events import Event as Event
from ._events import InvocationLaunched as InvocationLaunched
from ._events import InvocationThrottled as InvocationThrottled
from ._events import Observer as Observer
from ._events import WorkerLost as WorkerLost
from ._report import Report as Report

__all__ = [
    "CallsAnswered",
    "CallsReturned",
    "Event",
    "InvocationLaunched",
    "InvocationThrottled",
    "Observer",
    "Report",
    "WorkerLost",
]
