"""Diagonal Levenberg-Marquardt: its curvature against exact Gauss-Newton diagonals, its updates by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from threegen.datasets.batches import Batch
from threegen.datasets.dataset import Dataset
from threegen.errors import CheckpointError, ConfigError
from threegen.gen2.lenet_5 import LeNet5
from threegen.gen2.mlp import MLP
from threegen.rules.backprop import Backprop
from threegen.rules.levenberg_marquardt import LevenbergMarquardt, diagonal_curvature
from threegen.rules.losses import resolve_loss
from threegen.training.fit import fit


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def exact_gauss_newton(model: nn.Module, x: Tensor, y: Tensor, loss: str) -> dict[str, Tensor]:
    """diag(J^T H J), example by example, with the whole Hessian H of the loss at the scores."""
    compute, totals = resolve_loss(loss), {n: torch.zeros_like(p) for n, p in model.named_parameters()}
    for image, label in zip(x.split(1), y.split(1), strict=True):
        scores = model(image)
        hessian = torch.autograd.functional.hessian(lambda s, label=label: compute(s, label), scores.detach())
        hessian = hessian.view(scores.shape[1], scores.shape[1])
        rows = [
            torch.autograd.grad(scores[0, k], list(model.parameters()), retain_graph=True)
            for k in range(scores.shape[1])
        ]
        for number, name in enumerate(totals):
            jacobian = torch.stack([row[number] for row in rows])
            totals[name] += torch.einsum("k...,kl,l...->...", jacobian, hessian, jacobian) / len(x)
    return totals


@pytest.mark.parametrize("loss", ["mse", "signed_mse"])
def test_one_hidden_layer_is_the_exact_gauss_newton_diagonal(loss: str) -> None:
    """With one hidden layer and squared errors no path meets another: nothing is left out."""
    model = MLP([5, 7, 3], activation="tanh", generator=generator()).double()
    x = torch.randn(6, 5, generator=generator(1), dtype=torch.float64)
    y = torch.arange(6) % 3
    exact = exact_gauss_newton(model, x, y, loss)
    found = diagonal_curvature(model, x, y, resolve_loss(loss))
    for name, value in exact.items():
        assert float(value.abs().max()) > 0
        assert torch.allclose(found[name], value, rtol=1e-10, atol=1e-14), name


def test_the_output_layer_under_cross_entropy_is_exact() -> None:
    """diag of the Hessian p (1 - p), times the squared inputs."""
    model = MLP([5, 3], generator=generator()).double()
    x = torch.randn(6, 5, generator=generator(1), dtype=torch.float64)
    y = torch.arange(6) % 3
    exact = exact_gauss_newton(model, x, y, "cross_entropy")
    found = diagonal_curvature(model, x, y, resolve_loss("cross_entropy"))
    for name, value in exact.items():
        assert torch.allclose(found[name], value, rtol=1e-10), name


class SmallConvolution(nn.Module):
    """Every kind of layer that LeNet-5 has, small: convolution, tanh, sums, coefficients, linear."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(1, 2, 3)
        self.coefficient = nn.Parameter(torch.randn(2))
        self.bias = nn.Parameter(torch.randn(2))
        self.last = nn.Linear(2 * 2 * 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        states = torch.tanh(self.first(x) * 0.5) * 1.5
        sums = F.avg_pool2d(states, 2, divisor_override=1)
        states = torch.tanh(sums * self.coefficient.view(-1, 1, 1) + self.bias.view(-1, 1, 1))
        scores: Tensor = self.last(states.flatten(1))
        return scores


def test_a_small_convolutional_net_in_plain_loops() -> None:
    """The recursion of the paper's appendix C written out unit by unit and connection by connection."""
    with torch.random.fork_rng():
        net = SmallConvolution().double()
    x = torch.randn(1, 1, 6, 6, generator=generator(1), dtype=torch.float64)
    y = torch.tensor([2])
    w, v = net.first.weight.detach(), net.last.weight.detach()
    c, image = net.coefficient.detach(), x[0, 0]
    a1 = net.first(x)[0].detach() * 0.5
    x1 = 1.5 * torch.tanh(a1)
    a2 = F.avg_pool2d(x1, 2, divisor_override=1) * c.view(-1, 1, 1) + net.bias.detach().view(-1, 1, 1)
    x2 = torch.tanh(a2)
    h_top = 2.0 / 3.0  # of (s - t)^2 / 3
    h_v = torch.empty_like(v)
    h_w, h_b1, h_c, h_b2 = (
        torch.zeros_like(w),
        torch.zeros(2).double(),
        torch.zeros(2).double(),
        torch.zeros(2).double(),
    )
    for p in range(2):
        for i in range(2):
            for j in range(2):
                unit = p * 4 + i * 2 + j
                h_v[:, unit] = h_top * float(x2[p, i, j]) ** 2
                h_x2 = sum(float(v[k, unit]) ** 2 * h_top for k in range(3))
                h_a2 = h_x2 * (1 - float(x2[p, i, j]) ** 2) ** 2
                h_b2[p] += h_a2
                four = [(2 * i + m, 2 * j + n) for m in (0, 1) for n in (0, 1)]
                h_c[p] += h_a2 * float(sum(x1[p, r, s] for r, s in four)) ** 2
                for r, s in four:
                    slope = 1.5 * (1 - math.tanh(float(a1[p, r, s])) ** 2) * 0.5
                    h_u = float(c[p]) ** 2 * h_a2 * slope**2
                    h_b1[p] += h_u
                    for m in range(3):
                        for n in range(3):
                            h_w[p, 0, m, n] += h_u * float(image[r + m, s + n]) ** 2
    found = diagonal_curvature(net, x, y, resolve_loss("mse"))
    wanted = {"first.weight": h_w, "first.bias": h_b1, "coefficient": h_c, "bias": h_b2, "last.weight": h_v}
    wanted["last.bias"] = torch.full((3,), h_top, dtype=torch.float64)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert torch.allclose(found[name], value, rtol=1e-10), name


def test_the_top_of_lenet_5_is_the_errors_own_second_derivative() -> None:
    """d2E/dx_j^2 at F6 is 2 p_0 + 4 (sum p_i d_ij^2 - (sum p_i d_ij)^2), p the shares of e^-y and of e^-j.

    The bias of F6 has it times f'(a)^2, the mean over the images.
    """
    model = LeNet5(generator=generator()).double()
    with torch.no_grad():  # so that several distances matter
        model.layers.f6.weight.mul_(4.0)
        model.rbf.codes.mul_(0.2)
    x = torch.rand(3, 1, 28, 28, generator=generator(1), dtype=torch.float64)
    y = torch.tensor([3, 1, 4])
    states = model.last_units(x).detach()
    d = states.unsqueeze(1) - model.rbf.codes
    shares = torch.cat([-d.square().sum(2), torch.full((3, 1), -5.0).double()], 1).softmax(1)
    rubbish, p = shares[:, -1:], shares[:, :-1].unsqueeze(2)
    h_top = 2 * rubbish + 4 * ((p * d.square()).sum(1) - (p * d).sum(1).square())
    slope = 1.7159 * 2 / 3 * (1 - (states / 1.7159).square())
    found = diagonal_curvature(model, x, y, resolve_loss("map"))
    assert torch.allclose(found["layers.f6.bias"], (h_top * slope.square()).mean(0), rtol=1e-9)
    assert all(float(h.min()) >= 0 and float(h.max()) > 0 for h in found.values())


def test_the_model_and_its_gradients_are_left_alone() -> None:
    model = MLP([5, 7, 3], activation="tanh", generator=generator())
    x, y = torch.randn(6, 5, generator=generator(1)), torch.arange(6) % 3
    before = model(x)
    diagonal_curvature(model, x, y, resolve_loss("mse"))
    assert torch.equal(model(x), before)
    assert all(p.grad is None for p in model.parameters())


def test_an_update_is_the_gradient_over_mu_plus_h() -> None:
    model = MLP([5, 4, 3], activation="tanh", generator=generator()).double()
    batch = Batch(torch.randn(6, 5, generator=generator(1), dtype=torch.float64), torch.arange(6) % 3)
    rule = LevenbergMarquardt("mse", mu=0.5, examples=6, every=6)
    next(rule(model, batch, generator()))
    filled = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    next(Backprop("mse")(model, batch, generator()))
    h = diagonal_curvature(model, batch.inputs, torch.arange(6) % 3, resolve_loss("mse"))
    for name, p in model.named_parameters():
        assert p.grad is not None
        assert torch.allclose(filled[name], p.grad / (0.5 + h[name]), rtol=1e-12)


def test_curvature_is_estimated_anew_once_a_pass() -> None:
    """Passes of 8 examples, the first 4 of each are the sample; until they are complete the old estimate stands."""
    model = MLP([5, 4, 3], activation="tanh", generator=generator()).double()
    rule = LevenbergMarquardt("mse", examples=4, every=8)
    pairs = [
        Batch(torch.randn(2, 5, generator=generator(k), dtype=torch.float64), torch.tensor([0, 2])) for k in range(6)
    ]
    alone = [diagonal_curvature(model, pair.inputs, torch.tensor([0, 2]), resolve_loss("mse")) for pair in pairs]
    seen = []
    for pair in pairs:
        next(rule(model, pair, generator()))
        seen.append(rule.curvature["layers.linear1.weight"].clone())
    first, second = ((alone[k]["layers.linear1.weight"] + alone[k + 1]["layers.linear1.weight"]) / 2 for k in (0, 4))
    assert torch.allclose(seen[0], alone[0]["layers.linear1.weight"])
    for k in (1, 2, 3, 4):
        assert torch.allclose(seen[k], first)
    assert torch.allclose(seen[5], second)


def test_a_run_resumes_bit_equal_in_mid_sample(tmp_path: object) -> None:
    data = Dataset.from_arrays(torch.randn(24, 5, generator=generator(1)), torch.arange(24) % 3)

    def rule() -> LevenbergMarquardt:
        return LevenbergMarquardt("mse", examples=12, every=24)

    straight, halved = (MLP([5, 4, 3], activation="tanh", generator=generator()) for _ in range(2))
    fit(straight, rule(), data, epochs=2, batch_size=4)
    with pytest.raises(KeyboardInterrupt):
        fit(
            halved,
            rule(),
            data,
            epochs=2,
            batch_size=4,
            out=f"{tmp_path}/run",
            callbacks=[_StopAt(8)],
            checkpoint_every=1,
        )
    fresh = MLP([5, 4, 3], activation="tanh", generator=generator(9))
    fit(fresh, rule(), data, epochs=2, batch_size=4, out=f"{tmp_path}/run", resume=True)
    for one, other in zip(straight.parameters(), fresh.parameters(), strict=True):
        assert torch.equal(one, other)


class _StopAt:
    """Interrupt training at an update."""

    def __init__(self, update: int) -> None:
        self.update = update

    def on_step(self, run: object, step: object) -> None:
        if run.progress.updates == self.update:  # type: ignore[attr-defined]
            raise KeyboardInterrupt


def test_what_it_cannot_do_is_refused() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    with pytest.raises(
        ConfigError, match="curvature cannot be passed through 'batch_norm'; train this model by Backprop"
    ):
        diagonal_curvature(model, torch.randn(3, 4), torch.arange(3), resolve_loss("mse"))
    with pytest.raises(ConfigError, match="examples must be at most every"):
        LevenbergMarquardt(examples=10, every=5)
    with pytest.raises(CheckpointError, match="LevenbergMarquardt needs 'seen'"):
        LevenbergMarquardt().load_state_dict({"other": torch.zeros(())})


def test_the_map_criterion_by_hand() -> None:
    """E = d_t + log(e^-5 + sum e^-d), mean over the batch, with d the negated scores."""
    d = torch.tensor([[0.5, 2.0, 3.0], [4.0, 0.1, 0.2]], dtype=torch.float64)
    wanted = [
        row[t] + math.log(math.exp(-5.0) + sum(math.exp(-one) for one in row))
        for row, t in zip(d.tolist(), (0, 2), strict=True)
    ]
    assert float(resolve_loss("map")(-d, torch.tensor([0, 2]))) == pytest.approx(sum(wanted) / 2, rel=1e-12)


def test_the_signed_squares_by_hand() -> None:
    s = torch.tensor([[0.5, -2.0]], dtype=torch.float64)
    assert float(resolve_loss("signed_mse")(s, torch.tensor([1]))) == pytest.approx((1.5**2 + 3.0**2) / 2)
