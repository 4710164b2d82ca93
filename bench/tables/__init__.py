"""The tables of `python -m bench`, one module each."""

from __future__ import annotations

from bench.tables.base import Metric as Metric
from bench.tables.base import Plan as Plan
from bench.tables.base import Table as Table
from bench.tables.hedging import TABLE as _HEDGING
from bench.tables.held import TABLE as _HELD
from bench.tables.invoke_cpu import TABLE as _INVOKE_CPU
from bench.tables.lambda_e2e import TABLE as _LAMBDA_E2E
from bench.tables.local_bytes import TABLE as _LOCAL_BYTES
from bench.tables.local_latency import TABLE as _LOCAL_LATENCY
from bench.tables.local_rate import TABLE as _LOCAL_RATE
from bench.tables.memory import TABLE as _MEMORY
from bench.tables.params import TABLE as _PARAMS
from bench.tables.scale import TABLE as _SCALE
from bench.tables.simulated_stages import TABLE as _SIMULATED_STAGES
from bench.tables.sort import TABLE as _SORT
from bench.tables.storage import TABLE as _STORAGE
from bench.tables.stragglers import TABLE as _STRAGGLERS
from bench.tables.wordcount import TABLE as _WORDCOUNT
from bench.tables.worker_start import TABLE as _WORKER_START

TABLES = {
    table.name: table
    for table in (
        _LOCAL_RATE,
        _LOCAL_LATENCY,
        _LOCAL_BYTES,
        _MEMORY,
        _WORKER_START,
        _HEDGING,
        _STORAGE,
        _INVOKE_CPU,
        _HELD,
        _LAMBDA_E2E,
        _WORDCOUNT,
        _SORT,
        _STRAGGLERS,
        _SCALE,
        _PARAMS,
        _SIMULATED_STAGES,
    )
}
