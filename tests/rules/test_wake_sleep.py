"""The up-down algorithm: autograd of the directed layers' likelihoods, the RBM's rule at the top, order of draws."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from threegen.datasets.batches import Batch
from threegen.datasets.dataset import Dataset
from threegen.errors import ConfigError, DataError
from threegen.functional.energy.label_pulls import label_pulls
from threegen.gen2.dbn import DBN, AssociativeMemory
from threegen.gen2.mlp import MLP
from threegen.randomness import make_generator
from threegen.registry.pretraining import UpDownSchedule, pretraining, up_down
from threegen.rules import wake_sleep
from threegen.rules.contrastive_divergence import ContrastiveDivergence
from threegen.rules.rule import PlainSGD
from threegen.rules.wake_sleep import UpDownStates, WakeSleep, draw_states
from threegen.testing import run_rule
from threegen.training.fit import fit
from threegen.training.optimizers.build import optimizer
from threegen.training.stages import Stage


def small(classes: int | None = 3, *, dtype: torch.dtype = torch.float64, seed: int = 0) -> DBN:
    """A net of 6-5-4-7 units; weights far from zero and different ones up and down, so that nothing cancels."""
    generator = make_generator(seed, "small belief net")
    dbn = DBN([6, 5, 4, 7], classes=classes, generator=generator)
    with torch.no_grad():
        for parameter in dbn.parameters():
            parameter.normal_(0.0, 0.7, generator=generator)
    return dbn.to(dtype)


def cases(count: int = 9, *, dtype: torch.dtype = torch.float64) -> Batch:
    """Grey pixels and labels."""
    inputs = torch.rand(count, 6, generator=make_generator("cases"), dtype=dtype)
    return Batch(inputs, torch.arange(count) % 3)


def phases(dbn: DBN, batch: Batch, steps: int = 2, seed: int = 0) -> Iterator[dict[str, Tensor]]:
    """What each phase fills: `.grad` by the parameter's name; nothing is applied."""
    for _ in WakeSleep(steps, fused=False)(dbn, batch, make_generator(seed, "draws")):
        found = {name: p.grad.clone() for name, p in dbn.named_parameters() if p.grad is not None}
        dbn.zero_grad()
        yield found


def states_of(dbn: DBN, batch: Batch, steps: int = 2, seed: int = 0) -> UpDownStates:
    return draw_states(dbn, batch.inputs, batch.targets, steps, make_generator(seed, "draws"))


def log_likelihood(states: Tensor, weight: Tensor, bias: Tensor, given: Tensor) -> Tensor:
    """Mean over cases of sum_i s_i log p_i + (1 - s_i) log (1 - p_i) with p = sigmoid(bias + given weight)."""
    total = bias + given @ weight
    return -F.binary_cross_entropy_with_logits(total, states, reduction="none").sum(1).mean()


def expect(found: dict[str, Tensor], objective: Tensor, dbn: DBN) -> None:
    """`found` must be minus the gradient of `objective`, and there must be no other entries."""
    named = dict(dbn.named_parameters())
    wanted = torch.autograd.grad(objective, [named[name] for name in found], allow_unused=True)
    for (name, got), gradient in zip(found.items(), wanted, strict=True):
        assert gradient is not None, f"{name} has no part in the objective"
        assert got.abs().max() > 1e-4, f"{name}: the oracle can tell nothing"
        torch.testing.assert_close(got, -gradient, rtol=0, atol=1e-9)


def test_wake_is_the_gradient_of_the_generative_likelihood() -> None:
    dbn, batch = small(), cases()
    states = states_of(dbn, batch)
    found = next(phases(dbn, batch))
    assert set(found) == {f"{kind}.{end}" for kind, end in (("generative", 0), ("generative", 1))} | {
        "layers.0.visible_bias",
        "layers.1.visible_bias",
    }
    objective = sum(
        log_likelihood(states.wake[n], dbn.generative[n], dbn.layers[n].visible_bias, states.wake[n + 1])
        for n in range(2)
    )
    expect(found, objective, dbn)


def test_sleep_is_the_gradient_of_the_recognition_likelihood() -> None:
    dbn, batch = small(), cases()
    states = states_of(dbn, batch)
    found = list(phases(dbn, batch))[2]
    assert set(found) == {f"layers.{n}.{part}" for n in range(2) for part in ("weight", "hidden_bias")}
    objective = sum(
        log_likelihood(states.sleep[n + 1], dbn.layers[n].weight.T, dbn.layers[n].hidden_bias, states.sleep[n])
        for n in range(2)
    )
    expect(found, objective, dbn)


@pytest.mark.parametrize("steps", [1, 3])
def test_the_top_is_the_gradient_of_two_free_energies(steps: int) -> None:
    """Contrastive divergence: minus the gradient of F(v0) - F(vk), vk held; F from its formula, not from the model."""
    dbn, batch = small(), cases()
    states = states_of(dbn, batch, steps)
    found = list(phases(dbn, batch, steps))[1]
    assert set(found) == {"top.weight", "top.visible_bias", "top.hidden_bias"}
    top = dbn.top

    def free_energy(visible: Tensor) -> Tensor:
        return -visible @ top.visible_bias - F.softplus(top.hidden_bias + visible @ top.weight.T).sum(1)

    assert torch.equal(states.data[:, 4:], F.one_hot(batch.targets, 3).double())
    torch.testing.assert_close(states.chain[:, 4:].sum(1), torch.ones(9, dtype=torch.float64))
    expect(found, (free_energy(states.chain) - free_energy(states.data)).mean(), dbn)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_labels_pull_by_the_gradient_of_their_chance(dtype: torch.dtype) -> None:
    """Autograd of log P(y|x) from the net's own scores; 1,100 units, for the compiled pass goes in blocks of 512."""
    generator = make_generator("pulls")
    top = AssociativeMemory(5, 1_100, 4, generator)
    with torch.no_grad():
        for parameter in top.parameters():
            parameter.copy_(torch.empty(parameter.shape).normal_(0.0, 0.5, generator=generator))
    states, labels = torch.rand(6, 5, generator=generator).round(), torch.arange(6) % 4
    exact = top.double()
    inputs = top.input_from_below(states.double()).detach().to(dtype)
    found = label_pulls(inputs, top.weight.detach()[:, 5:].to(dtype), top.visible_bias.detach()[5:].to(dtype), labels)
    chances = exact.scores(states.double()).log_softmax(1)
    objective = chances[range(6), labels].sum()
    weight, bias, hidden = torch.autograd.grad(objective, [exact.weight, exact.visible_bias, exact.hidden_bias])
    near = {"rtol": 0, "atol": 1e-4 if dtype == torch.float32 else 1e-10}  # the sums are of 1,100 softplus: some 700
    assert chances.exp().amax(1).min() < 0.99, "nothing is left to learn"
    torch.testing.assert_close(found.hidden.double().T @ states.double(), weight[:, :5], **near)  # type: ignore[arg-type]
    torch.testing.assert_close(found.weight.double(), weight[:, 5:], **near)  # type: ignore[arg-type]
    torch.testing.assert_close(found.bias.double(), bias[5:], **near)  # type: ignore[arg-type]
    torch.testing.assert_close(found.hidden.double().sum(0), hidden, **near)  # type: ignore[arg-type]


def test_the_discriminative_part_is_the_gradient_of_the_labels_chance() -> None:
    """What w adds to contrastive divergence: w times the gradient of the mean log P(y | x_n), x_n held."""
    dbn, batch = small(), cases()
    states = states_of(dbn, batch)
    rules = [WakeSleep(2, discriminative=w, fused=False) for w in (0.0, 2.5)]
    filled = []
    for rule in rules:
        steps = rule(dbn, batch, make_generator(0, "draws"))
        for _ in range(2):
            next(steps)
        filled.append({name: p.grad.clone() for name, p in dbn.top.named_parameters()})
        dbn.zero_grad()
    objective = 2.5 * dbn.top.scores(states.wake[-1]).log_softmax(1)[range(9), batch.targets].mean()
    for name, parameter in dbn.top.named_parameters():
        (wanted,) = torch.autograd.grad(objective, parameter, retain_graph=True)
        assert wanted.abs().max() > 1e-3
        torch.testing.assert_close(filled[1][name] - filled[0][name], -wanted, rtol=0, atol=1e-9)


def test_the_top_learns_as_an_rbm_alone_does() -> None:
    """The same draws from where the wake phase has ended: the directions of ContrastiveDivergence, to the bit."""
    dbn, batch = small(), cases()
    found = list(phases(dbn, batch, 3))[1]
    generator = make_generator(0, "draws")
    states = batch.inputs
    for layer in dbn.layers:  # use up what the wake phase draws
        states = layer.draw_hidden(layer.hidden_given_visible(states), generator)
    next(ContrastiveDivergence(3)(dbn.top, Batch(states, batch.targets), generator))
    for name, parameter in dbn.top.named_parameters():
        torch.testing.assert_close(found[f"top.{name}"], parameter.grad, rtol=0, atol=1e-12)


def test_all_states_are_drawn_before_any_weight_moves() -> None:
    """A step of rate 10 after each phase changes nothing in what later phases ask for."""
    still, moving, batch = small(), small(), cases()
    expected = list(phases(still, batch))
    rule = WakeSleep(2, fused=False)
    seen = []
    for _ in rule(moving, batch, make_generator(0, "draws")):
        seen.append({name: p.grad.clone() for name, p in moving.named_parameters() if p.grad is not None})
        with torch.no_grad():
            for parameter in moving.parameters():
                if parameter.grad is not None:
                    parameter.sub_(parameter.grad, alpha=10.0)
                parameter.grad = None
    assert [set(one) for one in seen] == [set(one) for one in expected]
    for one, other in zip(seen, expected, strict=True):
        for name in one:
            assert torch.equal(one[name], other[name]), name


@pytest.mark.parametrize("classes", [3, None])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("centred", [False, True], ids=["plain", "centred"])
@pytest.mark.parametrize("discriminative", [0.0, 2.0])
def test_the_fused_step_is_the_plain_one(
    classes: int | None, dtype: torch.dtype, centred: bool, discriminative: float
) -> None:
    """Same generator: the same states, and after three batches the same weights, weight cost included."""
    plain, fused = small(classes, dtype=dtype), small(classes, dtype=dtype)
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.3)
    one, other = make_generator(1, "draws"), make_generator(1, "draws")
    common = {"weight_cost": 0.01, "centred": centred, "centring_decay": 0.5, "discriminative": discriminative}
    rules = [WakeSleep(3, fused=False, **common), WakeSleep(3, rate=0.3, **common)]  # type: ignore[arg-type]
    for count in (9, 9, 4):
        batch = cases(count, dtype=dtype)
        figures = run_rule(rules[0], plain, batch, one, optimizer)
        (found,) = run_rule(rules[1], fused, batch, other, torch.optim.SGD(fused.parameters(), lr=9.0))
        assert len(figures) == 3
        assert found["reconstruction_error"] == pytest.approx(figures[0]["reconstruction_error"], rel=1e-5)
    assert torch.equal(one.get_state(), other.get_state())
    for (name, expected), (_, got) in zip(plain.named_parameters(), fused.named_parameters(), strict=True):
        torch.testing.assert_close(got, expected, rtol=0, atol=2e-6 if dtype == torch.float32 else 1e-12, msg=name)


@pytest.mark.parametrize("discriminative", [0.0, 2.0])
@pytest.mark.parametrize("transposed", [False, True], ids=["by outputs", "by inputs"])
def test_the_fused_step_has_the_momentum_of_sgd(discriminative: float, transposed: bool) -> None:
    """torch's own SGD with momentum drives the plain rule; batches of two sizes share the velocities."""
    plain, fused = small(), small()
    if transposed:
        for parameter in (fused.top.weight, fused.layers[0].weight):
            parameter.data = parameter.data.t().contiguous().t()
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.1, momentum=0.8)
    one, other = make_generator(1, "draws"), make_generator(1, "draws")
    common = {"weight_cost": 0.01, "discriminative": discriminative}
    rules = [WakeSleep(2, fused=False, **common), WakeSleep(2, **common)]  # type: ignore[arg-type]
    rules[1].hand_over(PlainSGD([{"lr": 0.1, "momentum": 0.8}]))
    for count in (9, 4, 9, 9):
        run_rule(rules[0], plain, cases(count), one, optimizer)
        run_rule(rules[1], fused, cases(count), other, torch.optim.SGD(fused.parameters(), lr=9.0))
    for (name, expected), (_, got) in zip(plain.named_parameters(), fused.named_parameters(), strict=True):
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-12, msg=name)


@pytest.mark.parametrize("momentum", [0.0, 0.8])
def test_bfloat16_products_are_close_to_exact_ones(momentum: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """One step from the same weights: the states hardly differ, and the weights by about a hundredth of the step."""
    monkeypatch.setattr(wake_sleep, "multiplies_bfloat16", lambda: True)  # slow, but right, on any processor
    exact, low = (small(dtype=torch.float32) for _ in range(2))
    start = [parameter.detach().clone() for parameter in exact.parameters()]
    for dbn, precision in ((exact, "fp32"), (low, "bf16")):
        rule = WakeSleep(1, rate=0.1, precision=precision)
        rule.hand_over(PlainSGD([{"lr": 0.1, "momentum": momentum}]))
        run_rule(rule, dbn, cases(dtype=torch.float32), make_generator(1, "draws"), torch.optim.SGD(dbn.parameters()))
    for old, wanted, got in zip(start, exact.parameters(), low.parameters(), strict=True):
        assert got.dtype == torch.float32
        assert (got - wanted).norm() < 0.03 * (wanted - old).norm() + 1e-3
        assert not torch.equal(old, got)
        assert not torch.equal(wanted, got) or wanted.dim() == 1


def test_bfloat16_is_left_out_on_a_processor_without_its_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wake_sleep, "multiplies_bfloat16", lambda: False)
    exact, low = (small(dtype=torch.float32) for _ in range(2))
    for dbn, precision in ((exact, "fp32"), (low, "bf16")):
        rule = WakeSleep(1, rate=0.1, precision=precision)
        run_rule(rule, dbn, cases(dtype=torch.float32), make_generator(1, "draws"), torch.optim.SGD(dbn.parameters()))
    for wanted, got in zip(exact.parameters(), low.parameters(), strict=True):
        assert torch.equal(wanted, got)


def test_centred_directions_are_those_of_a_net_whose_states_are_counted_from_their_means() -> None:
    """Autograd in the coordinates W, b' = b + W m: a step there, seen in W and b, is the centred step."""
    dbn, batch, rate = small(), cases(), 0.1
    states = states_of(dbn, batch)
    means = [states.wake[0].mean(0), states.wake[1].mean(0), states.data.mean(0), states.data_top.mean(0)]
    found: dict[str, Tensor] = {}
    for _ in WakeSleep(2, centred=True, fused=False)(dbn, batch, make_generator(0, "draws")):
        found |= {name: -rate * p.grad for name, p in dbn.named_parameters() if p.grad is not None}
        dbn.zero_grad()
    for number in range(2):
        below, above = means[number], means[number + 1][: dbn.sizes[number + 1]]
        rbm = dbn.layers[number]
        for weight, bias, inputs, outputs, centre, names in (
            (dbn.generative[number], rbm.visible_bias, states.wake[number + 1], states.wake[number], above,
             (f"generative.{number}", f"layers.{number}.visible_bias")),
            (rbm.weight.T, rbm.hidden_bias, states.sleep[number], states.sleep[number + 1], below,
             (f"layers.{number}.weight", f"layers.{number}.hidden_bias")),
        ):  # fmt: skip
            w = weight.detach().clone().requires_grad_()
            offset = (bias + centre @ weight).detach().requires_grad_()
            slopes = torch.autograd.grad(log_likelihood(outputs, w, offset, inputs - centre), [w, offset])
            moved, shifted = rate * slopes[0], rate * slopes[1]
            torch.testing.assert_close(found[names[0]], moved.T if "layers" in names[0] else moved)
            torch.testing.assert_close(found[names[1]], shifted - centre @ moved)
    alone = ContrastiveDivergence(2, centred=True)
    generator, lower = make_generator(0, "draws"), batch.inputs
    for layer in dbn.layers:  # use up what the wake phase draws
        lower = layer.draw_hidden(layer.hidden_given_visible(lower), generator)
    next(alone(dbn.top, Batch(lower, batch.targets), generator))
    for name, parameter in dbn.top.named_parameters():
        torch.testing.assert_close(found[f"top.{name}"], -rate * parameter.grad, rtol=0, atol=1e-12)


def test_frozen_weights_stay() -> None:
    dbn = small()
    dbn.generative[0].requires_grad_(False)
    before = dbn.generative[0].clone()
    other = dbn.generative[1].detach().clone()
    run_rule(WakeSleep(1), dbn, cases(), make_generator("frozen"), torch.optim.SGD(dbn.top.parameters(), lr=0.1))
    assert torch.equal(dbn.generative[0], before)
    assert not torch.equal(dbn.generative[1], other)


def test_what_cannot_work_is_refused() -> None:
    generator = make_generator("refused")
    with pytest.raises(ConfigError, match="needs a model with layers"):
        WakeSleep().check(torch.nn.Identity())
    with pytest.raises(ConfigError):
        WakeSleep().check(MLP([6, 3]))
    with pytest.raises(ConfigError, match="steps"):
        WakeSleep(0)
    with pytest.raises(ConfigError, match="precision is"):
        WakeSleep(precision="fp16")
    with pytest.raises(DataError, match="learns from labels"):
        next(WakeSleep()(small(), Batch(cases().inputs), generator))
    with pytest.raises(DataError):
        next(WakeSleep()(small(), Batch(cases().inputs, torch.full((9,), 3)), generator))
    with pytest.raises(ConfigError, match="up_down needs a DBN"):
        up_down(MLP([6, 3]), epochs=1)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="epochs must be one number or 3"):
        pretraining(small(), epochs=[1, 2])


def test_the_schedule_of_steps_and_rate() -> None:
    """Thirds of 3, 6 and 10 steps; the rate falls in a straight line to a fiftieth."""
    from threegen.training.schedules import Progress

    rule, schedule = WakeSleep(), UpDownSchedule(0.2)
    optimizer = torch.optim.SGD(small().parameters(), lr=1.0)
    seen = []
    for done in range(0, 91, 15):
        schedule(Progress(batches_done=done, batches_total=90), optimizer, rule)
        seen.append((rule.steps, round(rule.rate, 6)))
    assert [steps for steps, _ in seen] == [3, 3, 6, 6, 10, 10, 10]
    assert seen[0][1] == 0.2
    assert seen[3][1] == pytest.approx(0.2 * 0.51)
    assert seen[-1][1] == pytest.approx(0.004)


def test_a_killed_run_goes_on_bit_equal(tmp_path: Path) -> None:
    """Greedy stages and up-down in one list: stopped in the middle of each stage and resumed, the weights are equal."""
    data = Dataset(cases(30, dtype=torch.float32).inputs, torch.arange(30) % 3, ("a", "b", "c"))

    def parts(dbn: DBN) -> list:
        with_momentum = Stage(
            "momentum", WakeSleep(2), optimizer=optimizer("momentum", lr=0.05, momentum=0.9), epochs=2, batch_size=10
        )
        return [*pretraining(dbn, epochs=2, batch_size=10), *up_down(dbn, epochs=2, batch_size=10), with_momentum]

    straight = DBN([6, 5, 4, 7], classes=3, generator=make_generator("bits"))
    fit(straight, parts(straight), data, seed=3)

    class Kill(Exception):
        pass

    class Killer:
        def __init__(self, at: int) -> None:
            self.at = at

        def on_step(self, run, step) -> None:  # type: ignore[no-untyped-def]
            if run.progress.updates == self.at:
                raise Kill

    for number, at in enumerate((2, 10, 17, 22, 28)):
        dbn = DBN([6, 5, 4, 7], classes=3, generator=make_generator("bits"))
        with pytest.raises(Kill):
            fit(
                dbn, parts(dbn), data, seed=3, out=tmp_path / "run", resume=number > 0, checkpoint_every=1,
                callbacks=[Killer(at)],
            )  # fmt: skip
    dbn = DBN([6, 5, 4, 7], classes=3, generator=make_generator("bits"))
    fit(dbn, parts(dbn), data, seed=3, out=tmp_path / "run", resume=True)
    for name, value in straight.state_dict().items():
        assert torch.equal(value, dbn.state_dict()[name]), name
