"""`tg.compare` and `threegen compare`: models or runs of any generation on one card, and the card as a page."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from threegen.cost.card import as_dict, as_html, as_text
from threegen.cost.compare import Comparison, compare_models
from threegen.cost.energy_tables import ENERGY_TABLES, EnergyTable
from threegen.cost.verdict import Verdict, verdict
from threegen.datasets.dataset import Dataset
from threegen.errors import ConfigError, DataError
from threegen.report.comparison_page import render_card
from threegen.runs.answer import examples_to_test
from threegen.runs.record import NAME, read_record
from threegen.runs.run import Run, load_run, open_run
from threegen.training.persistence.files import make_folder, write_whole


@dataclasses.dataclass(frozen=True, repr=False)
class Card(Comparison):
    """The comparison card: a table where it is printed, plain data, and one HTML page.

    `card["ann"]` is one model of it (`evaluation`, `bill`, `counts`, `energy`), `card.pair("ann", "snn")` the
    significance test of two, `card.verdict` the result in words.
    """

    @property
    def verdict(self) -> list[Verdict]:
        """What the figures say about each model but the reference, in words."""
        return verdict(self)

    def as_dict(self) -> dict[str, Any]:
        """Return everything on the card, its rules too, as plain data for JSON; energies are in joules."""
        return as_dict(self)

    def html(self) -> str:
        """Return the card as one HTML page that needs nothing from outside: the same text for the same card."""
        return render_card(self)

    def save(self, path: str | Path) -> Path:
        """Write the page to `path` as a whole or not at all and return the path.

        Raises `ConfigError` if its folder cannot be made, `CheckpointError` if the page cannot be written.
        """
        target = Path(path)
        make_folder(target.parent)
        write_whole(target, self.html())
        return target

    def __repr__(self) -> str:
        return as_text(self)

    def _repr_html_(self) -> str:
        return as_html(self)


def compare(
    models: Mapping[str, nn.Module | Run | str | Path],
    data: Any,
    *,
    reference: str | None = None,
    counted: int = 200,
    batch_size: int = 1000,
    seed: int = 0,
    tables: Sequence[EnergyTable] = ENERGY_TABLES,
) -> Card:
    """Compare classifiers of any generation on the same examples: accuracy, memory, compute, an estimate of energy.

    Args:
        models: at least two, by the names that the card gives them: modules that return scores [B, classes], a `Run`,
            or the folder of a run.
        data: labelled data that none of them was trained on: a `Dataset` such as `data.test`, arrays (x, y), a
            DataLoader or batches in a list. Every model is shown the same examples in the same order.
        reference: the model that ratios and the verdict refer to; None selects the first one without spiking neurons.
        counted: over how many examples, from the first on, memory and operations are averaged.
        batch_size: how many examples are answered at once.
        seed: drives random encoders.
        tables: the published figures that energy is estimated by; an empty list gives none.

    Returns:
        The card. Print it, look at `card.as_dict()`, or write a page with `card.save("card.html")`.

    Raises `ConfigError` for fewer than two models, a model that does not classify, or an unknown reference;
    `DataError` for data that are empty or have no labels; `ShapeError` for models with different numbers of classes,
    and for one that cannot take the inputs.

    Example:
        >>> import torch, threegen as tg
        >>> x, y = torch.rand(20, 6), torch.arange(20) % 3
        >>> card = tg.compare({"ann": tg.MLP([6, 8, 3]), "snn": tg.SpikingMLP([6, 8, 3], steps=4)}, (x, y))
        >>> card.reference, card["ann"].counts["synaptic"], len(card.pairs)
        ('ann', 72.0, 1)
    """
    opened = {name: _module(one) for name, one in models.items()} if isinstance(models, Mapping) else models
    found = compare_models(
        opened, data, reference=reference, counted=counted, batch_size=batch_size, seed=seed, tables=tables
    )
    return Card(**{one.name: getattr(found, one.name) for one in dataclasses.fields(found)})


def _module(given: object) -> Any:
    if isinstance(given, Run):
        return given.model
    return load_run(given) if isinstance(given, str | Path) else given


def compare_runs(
    runs: Sequence[str | Path],
    *,
    data: str | None = None,
    reference: str | None = None,
    counted: int = 200,
    seed: int = 0,
    module: str | None = None,
) -> Card:
    """Compare the runs of several folders on the test split that they share, or on `data`.

    Args:
        runs: folders; `name=folder` names one, by default the last part of its path is the name.
        data: a known name, of which the test split is read, or the path of a table or a folder.
        module: where the class of a user's own module is, as for `open_run`; for such runs only.

    Raises what `compare` raises, `CheckpointError` for a folder that is not a run, and `DataError` for runs with
    different test splits.
    """
    folders = _named(runs)
    saved = {name: folder for name, folder in folders.items() if (Path(folder) / NAME).is_file()}
    own = {name for name, folder in saved.items() if read_record(Path(folder))["module"]}
    if module and not own:
        raise ConfigError(f"module is {module!r}, but no run holds a module of your own; leave it out")
    opened = {name: open_run(folder, model=module if name in own else None) for name, folder in folders.items()}
    examples = _shared_examples(opened, data)
    return compare(opened, examples, reference=reference, counted=counted, seed=seed)


def _named(runs: Sequence[str | Path]) -> dict[str, Path]:
    """Return the folders by the names that the card gives them."""
    found: dict[str, Path] = {}
    for given in runs:
        name, sign, folder = str(given).partition("=")
        if not sign or Path(given).exists():
            folder = str(given)
            name = Path(folder).resolve().name
            if name in found:
                name = folder
        if name in found:
            raise ConfigError(f"two runs are called {name!r}; name them: threegen compare first={folder} second=RUN")
        found[name] = Path(folder)
    return found


def _shared_examples(runs: Mapping[str, Run], data: str | None) -> Dataset:
    """Return the examples that all runs are tested on; raises `DataError` if the runs have different ones."""
    first_name, part, known = "", None, dict[str, Dataset]()
    for name, run in runs.items():
        key = str((run.facts["data"], run.facts["data_options"], run.facts["data_sha256"], run.facts["shape"]))
        if key not in known:
            known[key] = examples_to_test(run, data)[0]
        if part is None:
            first_name, part = name, known[key]
        elif known[key].fingerprint() != part.fingerprint():
            raise DataError(
                f"{first_name} and {name} have different test splits ({part.name} and {known[key].name}); only answers "
                "to the same examples can be compared; name the data for all of them: --data NAME"
            )
    if part is None:
        raise ConfigError("compare needs at least two runs, got none; name their folders")
    return part
