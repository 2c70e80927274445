"""Damaged and strange NIR files: each is our own error with a sentence, never another exception."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from threegen.conversion.nir_read import import_nir
from threegen.conversion.nir_write import export_nir
from threegen.errors import DataError, ThreegenError
from threegen.gen3.networks import SpikingMLP
from threegen.machine import hdf5

nir = pytest.importorskip("nir", reason="needs the extra nir")
h5py = pytest.importorskip("h5py", reason="comes with nir")


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """A file of every kind of node that a fully connected net can have."""
    net = SpikingMLP(
        [6, 5, 4], recurrent=True, reset="soft", readout="leaky", generator=torch.Generator().manual_seed(0)
    )
    return export_nir(net, tmp_path / "whole.nir").file


def write(tmp_path: Path, nodes: dict[str, Any], edges: list[tuple[str, str]]) -> Path:
    file = tmp_path / "made.nir"
    nir.write(file, nir.NIRGraph({"input": nir.Input(np.array([3])), **nodes}, edges, type_check=False))
    return file


def product(outputs: int = 2, inputs: int = 3) -> Any:
    return nir.Affine(weight=np.ones((outputs, inputs), np.float32), bias=np.zeros(outputs, np.float32))


def neurons(count: int = 2, **own: Any) -> Any:
    one = np.ones(count, np.float32)
    return nir.LIF(**{"tau": 2e-4 * one, "r": 2 * one, "v_leak": 0 * one, "v_threshold": one, **own})


OUTPUT = {"output": nir.Output(np.array([2]))}
CHAIN = [("input", "w"), ("w", "n"), ("n", "output")]
ones = np.ones(2, np.float32)
STRANGE: dict[str, tuple[dict[str, Any], list[tuple[str, str]]]] = {
    r"0 nodes of kind Output": ({"w": product(), "n": neurons()}, CHAIN[:2]),
    r"the graph has no neurons": ({"w": product(), **OUTPUT}, [("input", "w"), ("w", "output")]),
    r"n has a threshold of -1": ({"w": product(), "n": neurons(v_threshold=-ones), **OUTPUT}, CHAIN),
    r"n has non-finite numbers in tau": ({"w": product(), "n": neurons(tau=np.nan * ones), **OUTPUT}, CHAIN),
    r"time constant of 1e-05 s, shorter than": ({"w": product(), "n": neurons(tau=1e-5 * ones), **OUTPUT}, CHAIN),
    r"resistance that is not above 0": ({"w": product(), "n": neurons(r=0 * ones), **OUTPUT}, CHAIN),
    r"n has thresholds for neurons \[3\], its input is for neurons \[2\]": (
        {"w": product(), "n": neurons(3, tau=np.array([2e-4, 3e-4, 4e-4], np.float32)), **OUTPUT},
        CHAIN,
    ),
    r"different resting potentials \(0 to 1\)": (
        {"w": product(), "n": neurons(v_leak=np.array([0, 1], np.float32)), **OUTPUT},
        CHAIN,
    ),
    r"w \(Linear\) cannot take \[3\]": ({"w": product(2, 7), "n": neurons(), **OUTPUT}, CHAIN),
    r"w has a bias of shape \[5\] for 2 outputs": (
        {"w": nir.Affine(np.ones((2, 3), np.float32), np.zeros(5, np.float32)), "n": neurons(), **OUTPUT},
        CHAIN,
    ),
    r"d is a Delay, which cannot be read": (
        {"w": product(), "d": nir.Delay(ones), "n": neurons(), **OUTPUT},
        [("input", "w"), ("w", "d"), ("d", "n"), ("n", "output")],
    ),
    r"t \(Threshold\) must follow one integrator": (
        {"w": product(), "t": nir.Threshold(ones), **OUTPUT},
        [("input", "w"), ("w", "t"), ("t", "output")],
    ),
    r"this package has no neuron that never resets": (
        {"w": product(), "i": nir.I(ones), "t": nir.Threshold(ones), **OUTPUT},
        [("input", "w"), ("w", "i"), ("i", "t"), ("t", "output")],
    ),
    r"the spikes of .* return to them through other layers": (
        {"w": product(), "n": neurons(), "m": neurons(), "a": product(2, 2), "b": product(2, 2), **OUTPUT},
        [("input", "w"), ("w", "n"), ("n", "a"), ("a", "m"), ("m", "b"), ("b", "n"), ("m", "output")],
    ),
    r"a cycle through": (
        {"w": product(), "s": nir.Scale(ones), "u": nir.Scale(ones), "n": neurons(), **OUTPUT},
        [("input", "w"), ("w", "s"), ("s", "u"), ("u", "s"), ("u", "n"), ("n", "output")],
    ),
    r"output must follow one layer of neurons": (
        {"w": product(), "n": neurons(), **OUTPUT},
        [*CHAIN, ("w", "output")],
    ),
    r"b has a bias; recurrent weights": (
        {"w": product(), "n": neurons(), "b": nir.Affine(np.ones((2, 2), np.float32), ones), **OUTPUT},
        [*CHAIN, ("n", "b"), ("b", "n")],
    ),
    r"n has no input": ({"w": product(), "n": neurons(), **OUTPUT}, [("input", "w"), ("n", "output")]),
    r"the inputs of n have different shapes": (
        {"w": product(), "x": product(5), "n": neurons(), **OUTPUT},
        [*CHAIN, ("input", "x"), ("x", "n")],
    ),
}


@pytest.mark.parametrize("reason", STRANGE)
def test_a_strange_graph_has_its_sentence(reason: str, tmp_path: Path) -> None:
    file = write(tmp_path, *STRANGE[reason])
    with pytest.raises(DataError, match=f"made.nir: .*{reason}"):
        import_nir(file)


def test_a_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.nir does not exist; give a NIR file"):
        import_nir(tmp_path / "gone.nir")
    other = tmp_path / "other.nir"
    other.write_text("not HDF5")
    with pytest.raises(DataError, match=r"other\.nir cannot be read as NIR"):
        import_nir(other)
    with h5py.File(other, "w") as file:
        file["weights"] = np.ones(3)
    with pytest.raises(DataError, match=r"other\.nir cannot be read as NIR"):
        import_nir(other)
    nir.write(other, neurons())
    with pytest.raises(DataError, match=r"other\.nir cannot be read as NIR"):
        import_nir(other)


def test_sub_graphs_in_sub_graphs_are_unfolded_down_to_a_depth(tmp_path: Path) -> None:
    inner: Any = neurons()
    for _ in range(3):
        ends = {"input": nir.Input(np.array([2])), "output": nir.Output(np.array([2]))}
        edges = [("input", "x"), ("x", "output")]
        inner = nir.NIRGraph({**ends, "x": inner}, edges, type_check=False)
    net = import_nir(write(tmp_path, {"w": product(), "n": inner, **OUTPUT}, CHAIN))
    assert [type(one) for one in net.neurons] == [type(SpikingMLP([3, 2]).neurons[0])]
    for _ in range(9):
        inner = nir.NIRGraph({**ends, "x": inner}, edges, type_check=False)
    with pytest.raises(DataError, match="sub-graphs deeper than 8"):
        import_nir(write(tmp_path, {"w": product(), "n": inner, **OUTPUT}, CHAIN))


def test_a_batch_axis_in_the_shape_is_taken_off_and_said(tmp_path: Path) -> None:
    nodes = {"input": nir.Input(np.array([1, 3])), "w": product(), "n": neurons(), **OUTPUT}
    net = import_nir(write(tmp_path, nodes, CHAIN))
    assert net.one_input == (3,)
    assert any("[1, 3], has a batch axis" in one for one in net.left_out)


def test_a_file_that_never_ends_is_our_own_error(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5, "_problem", lambda *given: "reading it did not end in 20 s")
    with pytest.raises(DataError, match=r"cannot be read as NIR .*: reading it did not end in 20 s"):
        import_nir(whole)


@pytest.fixture
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """These files are whole HDF5, or cut: a process of its own for each of hundreds would only take time."""
    monkeypatch.setattr(hdf5, "_problem", lambda *given: None)


@pytest.mark.usefixtures("_in_this_process")
def test_cut_files_are_our_own_error(whole: Path, tmp_path: Path) -> None:
    content, cut = whole.read_bytes(), tmp_path / "cut.nir"
    for length in range(0, len(content), 997):
        cut.write_bytes(content[:length])
        with pytest.raises(DataError):
            import_nir(cut)


@pytest.mark.usefixtures("_in_this_process")
def test_random_changes_inside_a_file_are_our_own_error_or_a_net(whole: Path, tmp_path: Path) -> None:
    """Parts removed, arrays replaced, nodes of another kind, edges shuffled: 150 files, drawn by a fixed seed."""
    chance, changed = random.Random(7), tmp_path / "changed.nir"
    kinds = ["LIF", "IF", "Affine", "Threshold", "Scale", "LI", "Input", "Output", "NIRGraph", "Conv2d", "CubaLIF"]
    values = [np.zeros(0), np.full(4, np.nan), np.zeros((3, 7)), np.array(5.0), np.arange(4), "text", -np.ones((4, 5))]
    refused = 0
    for _ in range(150):
        changed.write_bytes(whole.read_bytes())
        with h5py.File(changed, "r+") as file:
            root, names = file["node"], []
            root.visit(names.append)
            name = chance.choice(names)
            what = chance.choice(["remove", "value", "kind", "edges"])
            if what == "kind":
                name = chance.choice([one for one in names if one.endswith("type")])
            if what == "edges":
                name = "edges"
            old = root[name][()].tolist() if what == "edges" else None
            del root[name]
            if what == "value":
                root[name] = chance.choice(values)
            elif what == "kind":
                root[name] = chance.choice(kinds)
            elif old is not None:
                old.remove(chance.choice(old))
                old.append([chance.choice(old)[0], chance.choice(old)[1]])
                root.create_dataset(name, data=np.array(old, dtype=object), dtype=h5py.string_dtype())
        try:
            import_nir(changed)
        except ThreegenError:
            refused += 1
    assert 60 < refused < 150
