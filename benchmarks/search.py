"""A search of 100 trials x 50 epochs: 784-[100]x6-10 on 400 + 100 digits, SGD, rates and decays drawn at random.

The figure is seconds per search. The peer is plain PyTorch that trains the same networks one after the other; the floor
is the matrix products of all updates alone, as batched products. `search-halving` stops half of the networks after
epochs 5, 10 and 20; its floor is that of the full search. All sides draw the same settings, weights and orders. The
growth jobs `search-growth-N` train N networks.
"""

from __future__ import annotations

import itertools
import sys
import time
import warnings

import torch
from harness import HERE, Contestant, Job, main
from torch import nn

import threegen as tg
from threegen.randomness import make_generator
from threegen.runs.search import search
from threegen.training.search.results import SearchResult
from threegen.training.search.space import draw_settings, read_space
from threegen.training.search.trials import trial_seed

SPACE = {"lr": "log:1e-6:1e-2", "weight_decay": "log:1e-8:1e-4"}
HIDDEN, BATCH, EPOCHS = [100] * 6, 100, 50
SIZES = [784, *HIDDEN, 10]


def parts() -> tuple[tg.datasets.Dataset, tg.datasets.Dataset]:
    """Return 400 training and 100 validation images, all of the training part."""
    split = tg.load_data("mnist").train.take(500).holdout(100, seed=0)
    return split.train, split.validation


def epochs_of(quick: bool) -> int:
    """Return how many epochs are trained."""
    return EPOCHS // 10 if quick else EPOCHS


class Stacked:
    """Our search; prints its winner to standard error."""

    def __init__(self, trials: int = 100, halving: bool = False) -> None:
        self.trials, self.halving = trials, halving

    def __call__(self, quick: bool) -> float:
        """Return seconds."""
        train, judge = parts()
        begin = time.perf_counter()
        found: SearchResult = search(
            "mlp",
            SPACE,
            train,
            validation=judge,
            trials=self.trials,
            epochs=epochs_of(quick),
            batch_size=BATCH,
            options={"hidden": HIDDEN, "init": "he"},
            halving=self.halving,
        )
        seconds = time.perf_counter() - begin
        sys.stderr.write(f"ours: trial {found.best.number}, {found.best.accuracy:.2f}\n")
        return seconds


def sequential(quick: bool, trials: int = 100) -> float:
    """Train the same networks one by one in plain PyTorch; return seconds."""
    train, judge = parts()
    space = read_space(SPACE)
    finals = []
    begin = time.perf_counter()
    for number in range(trials):
        own, seed = draw_settings(space, 0, 0, number), trial_seed(0, 0, number)
        source = tg.MLP(SIZES, init="he", generator=make_generator(seed, "weights", "mlp"))
        net = nn.Sequential(nn.Flatten(), *source.layers)
        matrices = [p for p in net.parameters() if p.dim() > 1]
        vectors = [p for p in net.parameters() if p.dim() == 1]
        groups = [{"params": matrices, "weight_decay": own["weight_decay"]}, {"params": vectors}]
        optimizer = torch.optim.SGD(groups, lr=own["lr"], fused=True)
        for epoch in range(epochs_of(quick)):
            order = torch.randperm(len(train), generator=make_generator(seed, "order", 0, epoch))
            for index in order.split(BATCH):
                optimizer.zero_grad()
                nn.functional.cross_entropy(net(train.inputs[index]), train.targets[index]).backward()
                optimizer.step()
            with torch.no_grad():
                scores = net(judge.inputs)
                loss = float(nn.functional.cross_entropy(scores, judge.targets))
                accuracy = float((scores.argmax(1) == judge.targets).float().mean())
        finals.append((-accuracy, loss, number))
    seconds = time.perf_counter() - begin
    sys.stderr.write(f"sequential: trial {min(finals)[2]}, {-min(finals)[0]:.2f}\n")
    return seconds


def products(quick: bool, trials: int = 100) -> float:
    """Compute only the batched products of all updates; return seconds."""
    updates = epochs_of(quick) * 4
    pairs = list(itertools.pairwise(SIZES))
    weights = [torch.randn(trials, o, i) for i, o in pairs]
    signals = [torch.randn(trials, BATCH, size) for size in SIZES]
    errors = [torch.randn(trials, BATCH, size) for size in SIZES]
    gradients = [torch.empty_like(weight) for weight in weights]
    begin = time.perf_counter()
    for _ in range(updates):
        for layer, weight in enumerate(weights):
            torch.bmm(signals[layer], weight.transpose(1, 2), out=signals[layer + 1])
        for layer in reversed(range(len(weights))):
            torch.bmm(errors[layer + 1].transpose(1, 2), signals[layer], out=gradients[layer])
            if layer:
                torch.bmm(errors[layer + 1], weights[layer], out=errors[layer])
        for signal, error in zip(signals[1:], errors[1:], strict=True):
            signal.fill_(0.1)
            error.fill_(0.1)
    return time.perf_counter() - begin


FEW = 20  # trials of the jobs against other libraries


def by_optuna(quick: bool) -> float:
    """Run `FEW` trials one by one by `fit`, drawn and kept by Optuna in memory; return seconds."""
    return few(quick, sampler="random")


def without_optuna(quick: bool) -> float:
    """Train `FEW` networks one by one by `fit`: the baseline of the Optuna job; return seconds."""
    return few(quick, sampler=None)


def few(quick: bool, sampler: str | None) -> float:
    """Search among `FEW` networks that are not stacked."""
    train, judge = parts()

    class Alone(tg.MLP):
        stack = None  # type: ignore[assignment]

    def build(generator: torch.Generator, **own: object) -> Alone:
        return Alone(SIZES, init="he", generator=generator)

    begin = time.perf_counter()
    found = search(
        build, SPACE, train, validation=judge, trials=FEW, epochs=epochs_of(quick), batch_size=BATCH, sampler=sampler
    )
    seconds = time.perf_counter() - begin
    sys.stderr.write(f"{sampler}: {found.best.accuracy:.2f}\n")
    return seconds


def halved(quick: bool) -> float:
    """Search among `FEW` networks of one hidden layer by our stack and halving; return seconds."""
    train, judge = parts()
    begin = time.perf_counter()
    found = search(
        "mlp",
        {"lr": "log:1e-4:1e-1", "weight_decay": "log:1e-8:1e-4"},
        train,
        validation=judge,
        trials=FEW,
        epochs=epochs_of(quick),
        batch_size=BATCH,
        options={"hidden": [100]},
        rungs=[max(1, epochs_of(quick) // 8), max(2, epochs_of(quick) // 4), max(3, epochs_of(quick) // 2)],
        halving=True,
    )
    seconds = time.perf_counter() - begin
    sys.stderr.write(f"ours: {found.best.accuracy:.2f}\n")
    return seconds


def halved_by_sklearn(quick: bool) -> float:
    """The same by scikit-learn's halving over its own perceptron; return seconds."""
    from scipy.stats import loguniform
    from sklearn.experimental import enable_halving_search_cv  # noqa: F401
    from sklearn.model_selection import HalvingRandomSearchCV, PredefinedSplit
    from sklearn.neural_network import MLPClassifier

    train, judge = parts()
    x = torch.cat([train.inputs, judge.inputs]).flatten(1).numpy()
    y = torch.cat([train.targets, judge.targets]).numpy()
    net = MLPClassifier([100], solver="sgd", momentum=0.0, batch_size=BATCH, tol=0.0, n_iter_no_change=10**6)
    space = {"learning_rate_init": loguniform(1e-4, 1e-1), "alpha": loguniform(1e-8, 1e-4)}
    longest = epochs_of(quick)
    begin = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = HalvingRandomSearchCV(
            net,
            space,
            n_candidates=FEW,
            factor=2,
            resource="max_iter",
            min_resources=max(1, longest // 8),
            max_resources=longest,
            cv=PredefinedSplit([-1] * len(train) + [0] * len(judge)),
            refit=False,
            random_state=0,
        ).fit(x, y)
    seconds = time.perf_counter() - begin
    sys.stderr.write(f"scikit-learn: {found.best_score_:.2f}\n")
    return seconds


class SearchJob(Job):
    """A job whose peer is also in this file."""

    def __getattr__(self, side: str) -> object:
        if side == "sequential":
            count = int(self.name.rpartition("-")[2]) if "growth" in self.name else 100
            return lambda quick: sequential(quick, count)
        if side == "sklearn":
            return halved_by_sklearn
        raise AttributeError(side)


def job(name: str, trials: int = 100, *, halving: bool = False) -> Job:
    """Return one job."""
    return SearchJob(
        name,
        lambda quick: f"seconds a search of {trials} networks over {epochs_of(quick)} epochs",
        ours=Stacked(trials, halving),
        floor=lambda quick: products(quick, trials),
        peers=[Contestant("sequential PyTorch", HERE / "search.py", f"{name}/sequential")],
        threads=2,
        rounds=1 if trials > 100 else 3,
    )


JOBS = [
    job("search-stacked"),
    job("search-halving", halving=True),
    SearchJob(
        "search-optuna",
        lambda quick: f"seconds for {FEW} networks, one by one; the floor is the same without Optuna",
        ours=by_optuna,
        floor=without_optuna,
        threads=2,
        rounds=3,
        packages=("threegen", "torch", "optuna"),
    ),
    SearchJob(
        "search-halving-sklearn",
        lambda quick: f"seconds for {FEW} networks of one hidden layer, three rungs",
        ours=halved,
        peers=[Contestant("scikit-learn", HERE / "search.py", "search-halving-sklearn/sklearn")],
        threads=2,
        rounds=3,
        packages=("threegen", "torch", "scikit-learn"),
    ),
    *(job(f"search-growth-{trials}", trials) for trials in (10, 100, 400)),
]

if __name__ == "__main__":
    main(JOBS, __file__)
