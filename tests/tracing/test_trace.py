"""The walker and the trace: expected nodes and shapes are read off the small nets written out here."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from threegen.cost.count import count
from threegen.errors import DataError, ShapeError
from threegen.gen2.lenet import LeNet5Modern
from threegen.gen3.networks import SpikingMLP
from threegen.tracing.trace import INPUT, trace_model
from threegen.tracing.untouched import untouched
from threegen.tracing.walk import Walker


def images(count: int = 2) -> Tensor:
    return torch.rand(count, 1, 28, 28, generator=torch.Generator().manual_seed(0))


class Classic(nn.Module):
    """conv32 - conv64 - pool - dense128 - dense10, in one of four ways of writing relu."""

    def __init__(self, style: str = "module") -> None:
        super().__init__()
        self.style = style
        self.conv1, self.conv2 = nn.Conv2d(1, 32, 3), nn.Conv2d(32, 64, 3)
        self.fc1, self.fc2 = nn.Linear(9216, 128), nn.Linear(128, 10)
        self.act = nn.ReLU(inplace=style == "module in place")
        self.drop1, self.drop2 = nn.Dropout(0.25), nn.Dropout(0.5)

    def relu(self, x: Tensor) -> Tensor:
        if self.style.startswith("module"):
            return self.act(x)
        if self.style == "torch":
            return torch.relu(x)
        if self.style == "method in place":
            x.relu_()
            return x
        return F.relu(x, inplace=self.style == "functional in place")

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.conv2(self.relu(self.conv1(x))))
        x = self.drop1(F.max_pool2d(x, 2)).flatten(1)
        return self.fc2(self.drop2(self.relu(self.fc1(x))))


STYLES = ("module", "module in place", "functional", "functional in place", "torch", "method in place")


@pytest.mark.parametrize("style", STYLES)
def test_every_way_of_writing_relu_is_the_same_chain(style: str) -> None:
    trace = trace_model(Classic(style), images())
    names = [node.name for node in trace.nodes]
    assert names == [
        *("conv2d", "relu", "conv2d", "relu", "max_pool2d", "dropout", "flatten"),
        *("linear", "relu", "dropout", "linear"),
    ]
    assert [node.shape for node in trace.nodes][:5] == [
        (32, 26, 26),
        (32, 26, 26),
        (64, 24, 24),
        (64, 24, 24),
        (64, 12, 12),
    ]
    assert trace.nodes[-1].shape == (10,)
    assert trace.chain == trace.nodes
    assert trace.nodes[0].inputs == (INPUT,)
    assert [node.in_place for node in trace.find("relu")] == [style.endswith("in place")] * 3
    spatial = trace.last_spatial()
    assert spatial is not None
    assert spatial.name == "dropout"
    assert trace.final() is None
    assert trace.calls.get("act", 0) == (3 if style.startswith("module") else 0)


def test_the_bill_of_the_classic_net() -> None:
    bill = count(Classic("functional"), images())
    # conv1 26*26*9*32, conv2 24*24*9*32*64, fc1 9216*128, fc2 128*10
    assert bill.operations["mac"] == 194_688 + 10_616_832 + 1_179_648 + 1_280
    assert bill.parameters == 1_199_882


def test_a_module_used_three_times_is_three_visits() -> None:
    class Again(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            for _ in range(3):
                x = self.layer(x).tanh()
            return x

    trace = trace_model(Again(), torch.rand(1, 4))
    assert [node.visit for node in trace.find("linear")] == [0, 1, 2]
    assert trace.calls["layer"] == 3


def test_branches_guards_and_dead_ends() -> None:
    class Branch(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if not bool(torch.isfinite(x).all()):
                raise ValueError
            x.exp()  # leads nowhere
            return torch.relu(x) + x.tanh()

    trace = trace_model(Branch(), torch.rand(1, 4))
    assert [node.name for node in trace.nodes] == ["relu", "tanh", "add"]
    assert trace.nodes[2].inputs == (trace.nodes[0].number, trace.nodes[1].number)
    assert trace.chain is None


@pytest.mark.parametrize(
    "end",
    [
        nn.Softmax(1),
        nn.LogSoftmax(1),
        nn.Sequential(nn.Softmax(-1), nn.Flatten()),
    ],
)
def test_a_final_softmax_is_found(end: nn.Module) -> None:
    found = trace_model(nn.Sequential(nn.Linear(4, 3), end), torch.rand(1, 4)).final()
    assert found is not None
    assert "softmax" in found.name
    inner = trace_model(nn.Sequential(nn.Softmax(1), nn.Linear(4, 3)), torch.rand(1, 4))
    assert inner.final() is None


def test_time_steps_of_spiking_nets() -> None:
    trace = trace_model(SpikingMLP([784, 20, 10], steps=7), images())
    assert trace.steps == 7
    linear = trace.find("linear")
    assert [(node.steps, node.shape) for node in linear] == [(7, (20,)), (7, (10,))]
    assert [node.shape for node in trace.find("LIF")] == [(20,), (10,)]


class Hidden(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.from_numpy(x.numpy() ** 2)


def test_a_detour_outside_torch_is_seen_as_its_whole_module_and_what_follows_is_still_billed() -> None:
    net = nn.Sequential(nn.Linear(4, 3), Hidden(), nn.Linear(3, 2))
    trace = trace_model(net, torch.rand(1, 4))
    assert [node.name for node in trace.nodes] == ["linear", "Hidden", "linear"]
    assert trace.nodes[1].whole
    assert trace.unseen == ("Hidden",)
    bill = count(net, torch.rand(1, 4))
    assert bill.operations["mac"] == 12 + 6
    assert bill.uncounted == ("Hidden",)


class Broken(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        torch.rand(3)
        raise ShapeError("broken on purpose")


def meddle(net: nn.Sequential) -> None:
    with untouched(net, frozen=True):
        assert not any(weight.requires_grad for weight in net.parameters())
        net[0].weight.grad = None
        torch.rand(5)
        _ = 1 / 0


def test_everything_is_put_back_after_an_exception_too() -> None:
    net = nn.Sequential(nn.Linear(4, 3), nn.Dropout(), Broken())
    net[1].eval()
    net[0].weight.grad = torch.ones(3, 4)
    net[0].bias.requires_grad_(False)
    state, grad = torch.random.get_rng_state(), net[0].weight.grad
    with pytest.raises(ShapeError, match="on purpose"):
        trace_model(net, torch.rand(1, 4, generator=torch.Generator()))
    with pytest.raises(ZeroDivisionError):
        meddle(net)
    assert [module.training for module in net.modules()] == [True, True, False, True]
    assert net[0].weight.grad is grad
    assert [weight.requires_grad for weight in net.parameters()] == [True, False]
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(not module._forward_hooks and not module._forward_pre_hooks for module in net.modules())


def test_hooks_of_the_user_stay_and_the_answer_is_the_models() -> None:
    net, called = LeNet5Modern().eval(), []
    net.layers.conv1.register_forward_hook(lambda *_: called.append(1))
    expected = net(images())
    walker = Walker(net)
    with walker.watching():
        assert torch.equal(net(images()), expected)
    assert len(net.layers.conv1._forward_hooks) == 1
    assert len(called) == 2


def test_bad_input_is_refused() -> None:
    with pytest.raises(DataError, match="at least one sample"):
        trace_model(nn.Linear(2, 2), torch.zeros(0, 2))
    with pytest.raises(ShapeError, match="int64"):
        trace_model(nn.Linear(2, 2), torch.zeros(1, 2, dtype=torch.int64))
