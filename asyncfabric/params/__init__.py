"""A parameter server on Redis: shared arrays of floats that stateless functions read and add to.

    async with af.Fabric() as fabric, af.params.ParameterServer(name="model") as ps:
        await ps.put("weights", np.zeros(47_236))
        await fabric.map(step, batches, shared={"ps": ps})

Extra `[redis]`: redis-py, hiredis and NumPy.
"""

from ._blocking import BlockingParameterServer as BlockingParameterServer
from ._errors import ParameterError as ParameterError
from ._errors import ParameterNotFound as ParameterNotFound
from ._errors import ServerUnreachable as ServerUnreachable
from ._errors import StaleUpdate as StaleUpdate
from ._layout import Layout as Layout
from ._pull import Pull as Pull
from ._server import ParameterServer as ParameterServer
from ._snapshot import Snapshot as Snapshot
from ._staleness import Staleness as Staleness
from ._stream import BlockingStream as BlockingStream
from ._stream import Stream as Stream

__all__ = [
    "BlockingParameterServer",
    "BlockingStream",
    "Layout",
    "ParameterError",
    "ParameterNotFound",
    "ParameterServer",
    "Pull",
    "ServerUnreachable",
    "Snapshot",
    "StaleUpdate",
    "Staleness",
    "Stream",
]
