"""NIR files as flat graphs: opened, checked, sub-graphs unfolded. A damaged file always raises `DataError`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np

from threegen.conversion.nir_neurons import EXACT
from threegen.errors import DataError, MissingExtraError
from threegen.machine.hdf5 import refuse_broken_hdf5

DT = 1e-4  # seconds; the time step of snnTorch and SpikingJelly, which files do not name
Node = Any  # a node of the package nir
_EXPECTED = "an HDF5 file with a graph of nodes"
DEEPEST, MOST = 8, 100_000  # sub-graphs in sub-graphs, nodes
_BROKEN = (
    OSError,
    KeyError,
    ValueError,
    TypeError,
    IndexError,
    AttributeError,
    AssertionError,
    RuntimeError,  # h5py raises it for damage; RecursionError and NotImplementedError are some
    OverflowError,
    MemoryError,
)


def require_nir(what: str) -> Any:
    """Return the package nir; raises `MissingExtraError` naming the extra if it is not installed."""
    try:
        import nir
    except ImportError as problem:
        raise MissingExtraError.of(what, "nir", "nir") from problem
    return nir


@dataclass(slots=True)
class FlatGraph:
    """The nodes of a file by name, without sub-graphs, and the targets of each one's result; the file's metadata."""

    nodes: dict[str, Node]
    edges: list[tuple[str, str]]
    metadata: dict[str, Any] = field(default_factory=dict)

    def kind(self, name: str) -> str:
        """Return the kind of a node, such as "Affine"."""
        return type(self.nodes[name]).__name__

    def before(self, name: str) -> list[str]:
        """Return the nodes whose results a node takes, in file order."""
        return [one for one, other in self.edges if other == name]

    def behind(self, name: str) -> list[str]:
        """Return the nodes that take the result of a node."""
        return [other for one, other in self.edges if one == name]

    def only(self, kind: str) -> str:
        """Return the one node of a kind; raises `DataError` for none or several."""
        found = [name for name in self.nodes if self.kind(name) == kind]
        if len(found) != 1:
            raise DataError(
                f"the graph has {len(found)} nodes of kind {kind}, expected one; supported nets have one input"
            )
        return found[0]


def read_graph(source: str | os.PathLike[str] | BinaryIO, name: str) -> FlatGraph:
    """Return the graph of a NIR file; raises `DataError` if it is damaged or not a NIR file."""
    nir = require_nir("an NIR file")
    if isinstance(source, str | os.PathLike) and os.path.exists(source):
        try:
            refuse_broken_hdf5(source)  # a few changed bytes may put the HDF5 library into an endless loop
        except DataError as problem:
            raise DataError(
                f"{name} cannot be read as NIR (an HDF5 file with a graph of nodes): {problem}"
            ) from problem
    try:
        graph = nir.read(source, type_check=False)
    except FileNotFoundError as problem:
        raise DataError(f"{name} does not exist; give a NIR file") from problem
    except _BROKEN as problem:
        reason = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
        raise DataError(f"{name} cannot be read as NIR ({_EXPECTED}): {reason}") from problem
    try:
        return unfold(nir, graph)
    except _BROKEN as problem:
        if isinstance(problem, DataError):
            raise DataError(f"{name}: {problem}") from problem
        raise DataError(f"{name} holds a damaged graph: {problem!r}") from problem


def unfold(nir: Any, graph: Any) -> FlatGraph:
    """Return a graph with each sub-graph node replaced by its content; raises `DataError`."""
    if not isinstance(graph, nir.NIRGraph):
        raise DataError(f"expected a graph, found a node of kind {type(graph).__name__}")
    flat = FlatGraph({}, [], plain_metadata(graph))
    doors: list[str] = []
    _gather(nir, graph, "", flat, doors)
    for name in doors:  # the inputs and outputs of a sub-graph pass their data on unchanged
        before, behind = flat.before(name), flat.behind(name)
        flat.edges = [edge for edge in flat.edges if name not in edge]
        flat.edges += [(one, other) for one in before for other in behind]
        del flat.nodes[name]
    flat.edges = list(dict.fromkeys(flat.edges))
    return flat


def _gather(nir: Any, graph: Any, prefix: str, flat: FlatGraph, doors: list[str]) -> tuple[list[str], list[str]]:
    """Put the nodes and edges of a graph into `flat`; return the names of its inputs and of its outputs."""
    if prefix.count("/") > DEEPEST or len(flat.nodes) + len(graph.nodes) > MOST:
        raise DataError(f"the graph has sub-graphs deeper than {DEEPEST} or more than {MOST:,} nodes")
    ends: dict[str, tuple[list[str], list[str]]] = {}
    for short, node in graph.nodes.items():
        name = f"{prefix}{short}"
        if isinstance(node, nir.NIRGraph):
            ends[short] = _gather(nir, node, f"{name}/", flat, doors)
            continue
        flat.nodes[name] = node
        ends[short] = [name], [name]
        if prefix and isinstance(node, nir.Input | nir.Output):
            doors.append(name)
    for one, other in graph.edges:
        if one not in ends or other not in ends:
            raise DataError(f"an edge goes from {one!r} to {other!r}, and one of them does not exist")
        flat.edges += [(a, b) for a in ends[one][1] for b in ends[other][0]]
    inputs = [f"{prefix}{short}" for short, node in graph.nodes.items() if isinstance(node, nir.Input)]
    outputs = [f"{prefix}{short}" for short, node in graph.nodes.items() if isinstance(node, nir.Output)]
    return inputs, outputs


def plain_metadata(node: Node) -> dict[str, Any]:
    """Return the metadata of a node as plain numbers and texts, and as arrays if they hold one value per neuron."""
    metadata = getattr(node, "metadata", None)
    if not isinstance(metadata, Mapping):
        return {}
    found: dict[str, Any] = {}
    for name, value in metadata.items():
        own = value.decode(errors="replace") if isinstance(value, bytes) else value
        own = own.item() if isinstance(own, np.generic) else own
        if isinstance(own, str | int | float) or (name in EXACT and isinstance(own, np.ndarray)):
            found[str(name)] = own
    return found
