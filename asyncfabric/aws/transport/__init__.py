"""How invocations reach Lambda: requests go in, replies are called back. Internal.

`open_transport` chooses between two transports that behave alike: a thin one on httptools, which
takes some 17 us of CPU a call, and one on aiobotocore, for proxies and custom certificates.
"""

from ._choose import open_transport as open_transport
from ._protocol import Reply as Reply
from ._protocol import Request as Request
from ._protocol import Transport as Transport
from ._protocol import Unanswered as Unanswered

__all__ = ["Reply", "Request", "Transport", "Unanswered", "open_transport"]
