"""Which modules does the standard library lean on? PageRank of its imports, in rounds of shuffles.

    python examples/pagerank.py
    python examples/pagerank.py --below ~/src --partitions 16

A module that imports another one passes its rank on to it (Page and others, 1998). The result is
compared with that of networkx. What it shows of asyncfabric:

- Stages compose. A map reads the programs, and the first round takes what comes of it; each round
  is a shuffle whose partitions are the next one's input, until the ranks stand still.
- A bulk-synchronous program is a loop in the driver: it sees the sums that decide what comes next.
- What a round needs besides its items rides along by `functools.partial`.
"""

import argparse
import ast
import sysconfig
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import networkx as nx

import asyncfabric as af

DAMPING = 0.85
TOLERANCE = 1e-6  # of all ranks together
Node = tuple[str, float, list[str]]  # a module, its rank, and what it imports


def imports(below: str, path: str) -> tuple[str, list[str]]:
    """Read the absolute imports of a file; return its name as a module, and theirs."""
    module = Path(path).relative_to(below).with_suffix("").as_posix().replace("/", ".")
    found: list[str] = []
    try:
        tree = ast.parse(Path(path).read_bytes())
    except (SyntaxError, ValueError):  # tests of the parser, and the like
        tree = ast.Module([], [])
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return module.removesuffix(".__init__"), found


def resolved(name: str, modules: set[str]) -> str | None:
    """Return the module that an import means: the longest part of its name that is one."""
    while name and name not in modules:
        name = name.rpartition(".")[0]
    return name or None


def spread(nodes: list[Node]) -> Iterator[tuple[str, float | list[str]]]:
    """Hand the rank of each node to those that it leads to, and its links to itself."""
    for name, rank, links in nodes:
        yield name, links
        for other in links:
            yield other, rank / len(links)


def gather(base: float, name: str, values: Iterator[float | list[str]]) -> Node:
    """Add up what a node was handed."""
    links: list[str] = []
    rank = base
    for value in values:
        if isinstance(value, list):
            links = value
        else:
            rank += DAMPING * value
    return name, rank, links


async def graph_of(fabric: af.Fabric, below: Path, paths: list[str]) -> dict[str, list[str]]:
    """Read who imports whom."""
    read = await fabric.map(partial(imports, str(below)), paths)
    modules = {module for module, _ in read}
    graph: dict[str, list[str]] = {}
    for module, names in read:
        known = {resolved(name, modules) for name in names} - {module, None}
        graph[module] = sorted(name for name in known if name is not None)
    return graph


async def rank(
    fabric: af.Fabric, graph: dict[str, list[str]], partitions: int
) -> tuple[dict[str, float], int]:
    """Rank the nodes of a graph; return the ranks, and the number of rounds."""
    count = len(graph)
    ranks = dict.fromkeys(graph, 1 / count)
    nodes = [(name, ranks[name], links) for name, links in graph.items()]
    parts = [nodes[start::partitions] for start in range(partitions)]
    for number in range(1, 200):
        lost = sum(rank for part in parts for _, rank, links in part if not links)
        base = (1 - DAMPING + DAMPING * lost) / count
        parts = await af.bsp.shuffle(
            fabric, spread, parts, partial(gather, base), partitions=partitions
        )
        before, ranks = ranks, {name: rank for part in parts for name, rank, _ in part}
        if sum(abs(ranks[name] - before[name]) for name in graph) < TOLERANCE:
            return ranks, number
    raise RuntimeError("the ranks don't stand still")


async def main(below: Path, paths: list[str], partitions: int, backend: str | None) -> None:
    """Read, rank, compare."""
    async with af.Fabric(backend) as fabric:
        graph = await graph_of(fabric, below, paths)
        ranks, rounds = await rank(fabric, graph, partitions)
    links = sum(map(len, graph.values()))
    print(f"{len(graph):,} modules, {links:,} imports, {rounds} rounds")
    for name in sorted(ranks, key=ranks.__getitem__, reverse=True)[:10]:
        print(f"{ranks[name]:10.6f} {name}")
    library: Any = nx
    expected: dict[str, float] = library.pagerank(
        library.DiGraph(graph), alpha=DAMPING, tol=TOLERANCE / len(graph) ** 2, max_iter=1000
    )
    worst = max(abs(ranks[name] - expected[name]) for name in graph)
    assert worst < TOLERANCE, worst
    print(f"checked: networkx finds the same, to {worst:.0e}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="rank Python modules by who imports them")
    parser.add_argument("--below", type=Path, default=Path(sysconfig.get_path("stdlib")))
    parser.add_argument("--partitions", type=int, default=8)
    parser.add_argument("--backend", metavar="URL", help="default: local://, this machine's cores")
    options = parser.parse_args()
    folder = options.below.expanduser().resolve()
    found = [str(path) for path in sorted(folder.rglob("*.py"))]
    programs = [path for path in found if "site-packages" not in path]
    if not programs:
        parser.error(f"there are no Python files below {folder}; give another --below")
    af.run(main(folder, programs, options.partitions, options.backend))
