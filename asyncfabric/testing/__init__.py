"""The test kit: AWS Lambda on this machine.

`LambdaFront` serves Lambda's Invoke API on a local port and runs the functions in real worker
processes, with Lambda's limits, throttling, timeouts and error shapes, and with faults on purpose.
It needs `pip install asyncfabric[testing]`, and Linux.

    async def test_my_program_survives_throttling() -> None:
        throttled = Faults(seed=1, throttled=0.2)
        async with LambdaFront(faults=throttled) as front, af.Fabric(front.backend) as fabric:
            assert await fabric.map(pow, [2, 3], [5, 5]) == [32, 243]
        assert front.counters.executions >= 1
"""

from ._counters import Counters as Counters
from ._faults import Fault as Fault
from ._faults import Faults as Faults
from ._front import LambdaFront as LambdaFront
from ._settings import FunctionSettings as FunctionSettings
from ._settings import Limits as Limits

__all__ = ["Counters", "Fault", "Faults", "FunctionSettings", "LambdaFront", "Limits"]
