"""The test kit: AWS Lambda on this machine.

`LambdaFront` serves Lambda's Invoke API on a local port and runs the functions in real worker
processes, with Lambda's limits, throttling, timeouts and error shapes, and with faults on purpose.
It needs `pip install asyncfabric[testing]`, and Linux.

    async def test_my_program_survives_throttling() -> None:
        faults = Faults(seed=1, throttled=0.2)
        async with LambdaFront(faults=faults) as front, af.Fabric(front.backend) as fabric:
            assert await fabric.map(abs, range(-3, 0)) == [3, 2, 1]
        assert front.counters.executions >= 1
"""

from ._counters import Counters as Counters
from ._faults import Fault as Fault
from ._faults import Faults as Faults
from ._front import LambdaFront as LambdaFront
from ._settings import FunctionSettings as FunctionSettings
from ._settings import Limits as Limits
from ._simulated._cloud import SimulatedCloud as SimulatedCloud
from ._simulated._history import History as History
from ._simulated._ledger import AttemptRecord as AttemptRecord
from ._simulated._ledger import FunctionLedger as FunctionLedger
from ._simulated._ledger import Ledger as Ledger
from ._simulated._meter import spend as spend
from ._simulated._profile import Pareto as Pareto
from ._simulated._profile import Profile as Profile
from ._simulated._profile import Spread as Spread
from ._simulated._profile import StoreProfile as StoreProfile
from ._simulated._profile import Uniform as Uniform

__all__ = [
    "AttemptRecord",
    "Counters",
    "Fault",
    "Faults",
    "FunctionLedger",
    "FunctionSettings",
    "History",
    "LambdaFront",
    "Ledger",
    "Limits",
    "Pareto",
    "Profile",
    "SimulatedCloud",
    "Spread",
    "StoreProfile",
    "Uniform",
    "spend",
]
