"""The bill of the convolutional classics: published connections and operations, tables, groups, normalisation."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from threegen.cost.count import count
from threegen.explanations.explain import explain
from threegen.gen2.alexnet import AlexNet
from threegen.gen2.lenet_5 import LeNet5
from threegen.gen2.lenet_1989 import LeNet1989


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_lenet_1989_makes_one_operation_a_connection() -> None:
    """64,660 connections: a product for each weight, an addition for each of the 1,000 biases."""
    model = LeNet1989(generator=generator())
    bill = count(model, torch.rand(2, 1, 28, 28, generator=generator(1)))
    rows = {row.name: row.operations for row in bill.rows}
    assert bill.uncounted == ()
    assert bill.operations["mac"] == 64_660 - 1_000
    biases = [rows[f"layers.{name}"]["add"] for name in ("bias1", "bias2", "h3", "output")]
    assert biases == [768, 192, 30, 10]


def test_lenet_5_is_billed_by_its_table() -> None:
    """C1 117,600, C3 150,000 (60 of 96 pairs, not 240,000), C5 48,000, F6 10,080; 340,908 connections in all."""
    model = LeNet5(generator=generator())
    bill = count(model, torch.rand(2, 1, 28, 28, generator=generator(1)))
    rows = {row.name: row.operations for row in bill.rows}
    assert bill.uncounted == ()
    macs = {name: rows[f"layers.{name}"]["mac"] for name in ("c1", "c3", "c5", "f6")}
    assert macs == {"c1": 117_600, "c3": 150_000, "c5": 48_000, "f6": 10_080}
    assert rows["layers.c3"]["mac_nonzero"] == 150_000
    assert rows["layers.s2"] == {"add": 3 * 6 * 14 * 14}  # sums of four; nothing is divided
    assert rows["layers.s2.multiplication"] == {"mul": 6 * 14 * 14}
    assert {kind: rows[f"rbf{row}"] for kind, row in (("difference", ""), ("square", ".multiplication"))} == {
        "difference": {"add": 840},
        "square": {"mul": 840},
    }


def test_the_table_is_billed_where_inputs_are_zero() -> None:
    """Only plane 3 of S2 is lit: it is read by 10 planes of C3, each of its 196 places by at most 25 of their sites."""
    c3 = LeNet5(generator=generator()).layers.c3
    x = torch.zeros(1, 6, 14, 14)
    x[0, 3] = 1.0
    reach = F.conv_transpose2d(torch.ones(1, 1, 10, 10), torch.ones(1, 1, 5, 5)).sum()
    (row,) = count(c3, x).rows
    assert row.operations["mac_nonzero"] == 10 * int(reach) == 10 * 2_500


def test_response_normalisation_by_counting() -> None:
    """9 planes: windows of 3, 4, 5, 5, 5, 5, 5, 4 and 3 planes; k adds one, the mean of squares costs two products."""
    bill = count(nn.Sequential(nn.LocalResponseNorm(5, 5e-4, 0.75, 2.0)), torch.rand(3, 9, 2, 2, generator=generator()))
    (row,) = bill.rows
    windows = [3, 4, 5, 5, 5, 5, 5, 4, 3]
    assert row.kind == "response normalisation"
    assert row.operations == {"mul": 3 * 36, "add": 4 * (sum(windows) - 9 + 9), "function": 36}


def test_summaries_and_maps_of_all_three() -> None:
    small = AlexNet(10, width=0.1, channels=1, size=67, picture=28, generator=generator())
    x = torch.rand(2, 1, 28, 28, generator=generator(1))
    for model, layer in (
        (LeNet1989(generator=generator()), "layers.h2"),
        (LeNet5(generator=generator()), "layers.c3"),
        (small, "features.conv5"),
    ):
        model.eval()
        look = explain(model)
        table = look.summary(x)
        assert table.parameters == sum(p.numel() for p in model.parameters())
        assert sum(row.parameters for row in table.rows) == table.parameters
        assert table.uncounted == ()
        assert torch.isfinite(look.saliency(x)).all()
        assert torch.isfinite(look.grad_cam(x, layer=layer)).all()


def test_occlusion_is_that_of_the_whole_net() -> None:
    """Window by window, the score of the class falls by what the map says."""
    model = LeNet5(generator=generator()).eval()
    x = torch.rand(1, 1, 28, 28, generator=generator(1))
    found = explain(model).occlusion(x, 3, window=14, stride=14)
    with torch.no_grad():
        for i in (0, 1):
            for j in (0, 1):
                hidden = x.clone()
                hidden[..., 14 * i : 14 * i + 14, 14 * j : 14 * j + 14] = 0.0
                drop = float(model(x)[0, 3] - model(hidden)[0, 3])
                assert abs(float(found[0, 0, 14 * i, 14 * j]) - drop) < 1e-3
