"""The checks that every classifier must pass: an ordinary module with scores `[B, classes]`, one function per
requirement."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from threegen.errors import ShapeError
from threegen.randomness import make_generator
from threegen.rules.rule import answer
from threegen.testing.ordinary import ORDINARY
from threegen.testing.tools import Broken, ModelFactory, Snapshot, run_checks, same_bits


@dataclass(frozen=True)
class _Bench:
    model_factory: ModelFactory
    inputs: Tensor
    classes: int | None
    without_gradient: tuple[str, ...] = ()

    def model(self, seed: int = 0) -> nn.Module:
        return self.model_factory(make_generator("contract model", seed))

    def scores(self, model: nn.Module, inputs: Tensor | None = None) -> Tensor:
        return answer(model, self.inputs if inputs is None else inputs, make_generator("contract draws"))


def check_model(
    model_factory: ModelFactory,
    inputs: Tensor,
    *,
    classes: int | None = None,
    without_gradient: Sequence[str] = (),
) -> tuple[str, ...]:
    """Check that a model fulfils the contract that rules and evaluation rely on; return the names of the checks that
    ran.

    `model_factory(generator)` makes the model with weights drawn from the generator; `inputs` are a few examples
    (at least two) that it takes; `classes`, if given, is the number of scores that it must return. `without_gradient`
    names the parameters that do not affect the scores, such as the generative weights of a belief net; all others must
    affect them. Raises `ContractViolation`.
    """
    bench = _Bench(model_factory, inputs, classes, tuple(without_gradient))

    def bound(check: Callable[[_Bench], None]) -> Callable[[], None]:
        return lambda: check(bench)

    def ordinary(check: Callable[[nn.Module, Callable[[nn.Module], Tensor]], None]) -> Callable[[], None]:
        return lambda: check(bench.model(), bench.scores)

    subject = type(bench.model()).__name__
    checks = [(name, bound(check)) for name, check in _MODEL_CHECKS.items()]
    return run_checks(subject, [*checks, *((name, ordinary(check)) for name, check in ORDINARY.items())])


def _scores(bench: _Bench) -> None:
    scores = bench.scores(bench.model().eval())
    if scores.dim() != 2 or len(scores) != len(bench.inputs):
        raise Broken(f"forward must return scores [B, classes] = [{len(bench.inputs)}, ...], got {list(scores.shape)}")
    if bench.classes is not None and scores.shape[1] != bench.classes:
        raise Broken(f"forward must return {bench.classes} scores per example, got {scores.shape[1]}")
    if not scores.is_floating_point() or not bool(torch.isfinite(scores).all()):
        raise Broken(f"the scores must be finite floating numbers, got {scores.dtype}")


def _batch_of_one(bench: _Bench) -> None:
    model = bench.model().eval()
    width = bench.scores(model).shape[1]
    for place in range(len(bench.inputs)):
        alone = bench.scores(model, bench.inputs[place : place + 1])
        if list(alone.shape) != [1, width]:
            raise Broken(f"one example must give scores [1, {width}], got {list(alone.shape)}")


def _same_generator(bench: _Bench) -> None:
    first = bench.model()
    torch.manual_seed(1)
    second = bench.model()
    same_bits(_state(first), _state(second), "differs between two models made from the same generator")
    first.eval(), second.eval()
    one = bench.scores(first)
    torch.manual_seed(2)
    same_bits({"the answer": one}, {"the answer": bench.scores(second)}, "differs between two runs of the same model")


def _state_round_trip(bench: _Bench) -> None:
    model, other = bench.model().train(), bench.model(seed=1)
    bench.scores(model)  # buffers such as running statistics change here
    other.load_state_dict(copy.deepcopy(model.state_dict()))
    _require_same_answers(bench, model, other, "after its state dictionary was loaded into another")


def _deep_copy(bench: _Bench) -> None:
    model = bench.model()
    _require_same_answers(bench, model, copy.deepcopy(model), "in a deep copy")
    twin = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.add_(1.0)
    same_bits(_state(bench.model()), _state(model), "changes with a deep copy: the copy shares it")


def _require_same_answers(bench: _Bench, one: nn.Module, other: nn.Module, when: str) -> None:
    answers = [{"the answer": bench.scores(model.eval())} for model in (one, other)]
    same_bits(answers[0], answers[1], f"differs {when}")


def _modes(bench: _Bench) -> None:
    for training in (True, False):
        model = bench.model().train(training)
        before = {name: module.training for name, module in model.named_modules()}
        with torch.no_grad():
            bench.scores(model)
        if torch.is_grad_enabled() is False:
            raise Broken("forward leaves gradients switched off")
        changed = [name for name, module in model.named_modules() if module.training != before[name]]
        if changed:
            raise Broken(f"forward changes the mode of {', '.join(map(repr, changed[:3]))}")


def _still(bench: _Bench) -> None:
    model, inputs = bench.model().eval(), bench.inputs.clone()
    before = _state(model)
    bench.scores(model, inputs)
    same_bits(before, _state(model), "changes in a forward pass in evaluation mode")
    same_bits({"the input": bench.inputs}, {"the input": inputs}, "is written to by forward")


def _wrong_inputs(bench: _Bench) -> None:
    wrong = {
        "one column too few": bench.inputs[..., :-1],
        "bytes for numbers": bench.inputs.to(torch.uint8),
        "float64 for float32": bench.inputs.double(),
        "one example without the batch's axis": bench.inputs.flatten(1)[0],
    }
    for what, inputs in wrong.items():
        try:
            bench.scores(bench.model().eval(), inputs)
        except ShapeError:
            continue
        except Exception as problem:
            raise Broken(f"{what}: must raise ShapeError, raised {type(problem).__name__}: {problem}") from problem
        raise Broken(f"{what}: must raise ShapeError, was accepted")


def _gradients(bench: _Bench) -> None:
    model = bench.model().train()
    scores = bench.scores(model)
    scores.square().sum().add(scores.sum()).backward()  # type: ignore[no-untyped-call]
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if name in bench.without_gradient:
            if parameter.grad is not None:
                raise Broken(f"{name} gets a gradient from the scores, although without_gradient names it")
            continue
        if parameter.grad is None:
            raise Broken(f"{name} gets no gradient from the scores")
        if not bool(torch.isfinite(parameter.grad).all()):
            raise Broken(f"the gradient of {name} is not finite")


def _float64(bench: _Bench) -> None:
    scores = bench.scores(bench.model().double().eval(), bench.inputs.double())
    if scores.dtype != torch.float64:
        raise Broken(f"a float64 model must give float64 scores, got {scores.dtype}")


def _state(model: nn.Module) -> Snapshot:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


_MODEL_CHECKS: dict[str, Callable[[_Bench], None]] = {
    "scores [B, classes]": _scores,
    "batch of one": _batch_of_one,
    "same generator, same bits": _same_generator,
    "state round trip": _state_round_trip,
    "deep copy": _deep_copy,
    "modes": _modes,
    "still in evaluation": _still,
    "wrong inputs": _wrong_inputs,
    "finite gradients": _gradients,
    "float64": _float64,
}
