"""A fake AWS endpoint in a process of its own: Lambda's Invoke and S3, fast enough to be no peer.

It answers what the peers of the cloud tables ask and nothing else; it checks no signature. Tests of
asyncfabric don't use it: what it does not check, it cannot show.
"""

from __future__ import annotations

from bench.fakes.endpoint import BUCKET as BUCKET
from bench.fakes.endpoint import REGION as REGION
from bench.fakes.endpoint import Counts as Counts
from bench.fakes.endpoint import Endpoint as Endpoint
from bench.fakes.endpoint import running_endpoint as running_endpoint
