"""Where attempts run: in this process, in processes of this machine, on AWS Lambda.

A backend is a door to the runtime's `execute`: it takes envelopes and tells its receiver the
outcomes. `open_backend` makes one from a URL.
"""

from ._open import open_backend as open_backend
from ._protocol import Backend as Backend
from ._protocol import Receiver as Receiver
from ._protocol import Traits as Traits

__all__ = ["Backend", "Receiver", "Traits", "open_backend"]
