"""Jobs on the simulated cloud, under asyncfabric's own policy and under those of others."""

from __future__ import annotations

from bench.simulations.decisions import decide as decide
from bench.simulations.jobs import HEARTBEATS as HEARTBEATS
from bench.simulations.jobs import Finished as Finished
from bench.simulations.jobs import Job as Job
from bench.simulations.jobs import run_map as run_map
from bench.simulations.rules import BACKUPS as BACKUPS
from bench.simulations.rules import SPARK_3 as SPARK_3
from bench.simulations.rules import SPARK_4 as SPARK_4
from bench.simulations.rules import Rule as Rule
from bench.simulations.speculation import run_by_rule as run_by_rule
