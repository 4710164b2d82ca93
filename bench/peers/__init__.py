"""Every peer that is measured, asyncfabric among them: one adapter module each, loaded lazily.

The catalogue here imports no peer, so a peer that is not installed can still be reported.
"""

from __future__ import annotations

from bench.peers.catalog import OURS as OURS
from bench.peers.catalog import PEERS as PEERS
from bench.peers.catalog import Peer as Peer
from bench.peers.catalog import Way as Way
from bench.peers.session import WORKERS as WORKERS
from bench.peers.session import Adapter as Adapter
from bench.peers.session import Session as Session
from bench.peers.session import Streaming as Streaming
from bench.peers.session import load_adapter as load_adapter
