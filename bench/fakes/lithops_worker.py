"""What Lithops' worker leaves in the bucket when its calls are done, without running them.

The function is taken to be the one of the benchmark, which returns its argument. A real worker
reads function and data from the bucket and forks a process a call as well: that costs the worker's
time, not the driver's, and is left out in Lithops' favour.
"""

from __future__ import annotations

import ast
import json
import pickle
import time
from itertools import count
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.fakes.objects import FakeS3

_numbers = count(1)


class LithopsWork:
    """One invocation of Lithops' worker, from its payload."""

    def __init__(self, body: bytes, store: FakeS3) -> None:
        self._payload: dict[str, Any] = json.loads(body)
        self._store = store
        config = self._payload["config"]
        self._bucket: str = config[config["lithops"]["storage"]]["storage_bucket"]
        self._started = time.time()
        self._activation = str(next(_numbers))

    def start(self) -> None:
        """Write the start mark of every call, by which Lithops knows which worker is running it."""
        for call_id in self._payload["call_ids"]:
            self._write(call_id, f"{self._activation}.init", b"")

    def finish(self) -> None:
        """Write the status of every call, results within, as Lithops 3.8 does."""
        payload = self._payload
        now = time.time()
        for call_id, data in zip(payload["call_ids"], self._data(), strict=True):
            (argument,) = pickle.loads(data).values()
            result = pickle.dumps(argument)
            status = {
                "type": "__end__",
                "exception": False,
                "activation_id": self._activation,
                "python_version": "3.11",
                "worker_start_tstamp": self._started,
                "worker_func_start_tstamp": self._started,
                "worker_func_end_tstamp": now,
                "worker_func_exec_time": now - self._started,
                "worker_end_tstamp": now,
                "worker_cold_start": False,
                "worker_calls": len(payload["call_ids"]),
                "host_submit_tstamp": payload["host_submit_tstamp"],
                "call_id": call_id,
                "job_id": payload["job_id"],
                "executor_id": payload["executor_id"],
                "chunksize": payload["chunksize"],
                "func_result_size": len(result),
                "result": str(result),
            }
            self._write(call_id, "status.json", json.dumps(status).encode())

    def _write(self, call_id: str, name: str, data: bytes) -> None:
        key = f"lithops.jobs/{self._payload['job_key']}/{call_id}/{name}"
        self._store.write(f"{self._bucket}/{key}", data)

    def _data(self) -> list[bytes]:
        if "data_byte_strs" in self._payload:
            # bytes, as json's `default=str` wrote them
            return [ast.literal_eval(text) for text in self._payload["data_byte_strs"]]
        everything = self._store.read(f"{self._bucket}/{self._payload['data_key']}")
        ranges = self._payload["data_byte_ranges"]
        return [everything[first : last + 1] for first, last in ranges]
