"""Every entry of the registry: complete, built from its generator alone, trainable, opened again bit-equal."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from threegen.datasets.catalogue import KNOWN
from threegen.datasets.dataset import Data, Dataset
from threegen.errors import CheckpointError, ConfigError
from threegen.registry.entry import MODES, all_entries, build_model, lineage_entries
from threegen.runs.run import load_run, open_run
from threegen.runs.train import train_run
from threegen.training.evaluate import evaluate

NAMES = sorted(all_entries())


@pytest.fixture(scope="module")
def stripes() -> Data:
    """200 pictures in ten classes: the lit column tells the class."""
    labels = torch.arange(200) % 10
    images = torch.zeros(200, 1, 28, 28)
    for index, label in enumerate(labels.tolist()):
        images[index, 0, :, 2 * label : 2 * label + 4] = 1.0
    whole = Dataset.from_arrays(images, labels, name="stripes")
    return Data("stripes", whole.take(150), whole.subset(range(150, 200)))


@pytest.mark.parametrize("name", NAMES)
def test_entry_is_complete(name: str) -> None:
    entry = all_entries()[name]
    assert entry.name == name
    assert entry.generation in (1, 2, 3)
    assert 1940 < entry.year < 2030
    assert str(entry.year) in entry.paper or "after" in entry.paper
    assert set(entry.plans) >= set(MODES)
    assert all(plan.seconds > 0 for plan in entry.plans.values())


def test_the_quick_lineage_declares_at_most_four_and_a_half_minutes() -> None:
    assert sum(entry.plan("quick").seconds for entry in lineage_entries()) <= 270


@pytest.mark.parametrize(
    ("name", "known"), [(name, known) for name in NAMES for known in KNOWN if known in all_entries()[name].plans]
)
def test_a_plan_for_a_published_data_set_fits_it(name: str, known: str) -> None:
    """The plan's model takes pictures of the data set's shape; the data need not be there."""
    entry, data = all_entries()[name], KNOWN[known]
    model = build_model(entry, data.shape, len(data.classes), 0, entry.plan(known).options)
    assert model(torch.rand(2, *data.shape)).shape == (2, len(data.classes))


@pytest.mark.parametrize("name", NAMES)
def test_weights_depend_on_seed_and_name_alone(name: str) -> None:
    entry = all_entries()[name]

    def weights(seed: int) -> torch.Tensor:
        model = build_model(entry, (1, 28, 28), 10, seed, entry.plan("quick").options)
        return torch.cat([p.detach().ravel() for p in model.parameters()])

    torch.manual_seed(1)
    first = weights(0)
    torch.manual_seed(2)
    assert torch.equal(first, weights(0))
    if first.any():  # the perceptron starts at zero
        assert not torch.equal(first, weights(1))


@pytest.mark.parametrize("name", [name for name in NAMES if all_entries()[name].lineage])
def test_a_run_opens_as_it_was(name: str, stripes: Data, tmp_path: Path) -> None:
    run = train_run(name, stripes, mode="quick", epochs=1, seed=1, out=tmp_path / "run")
    again = open_run(tmp_path / "run")
    for key, tensor in run.model.state_dict().items():
        assert torch.equal(tensor, again.model.state_dict()[key]), key
    assert not again.model.training
    assert again.log.epochs == run.log.epochs
    assert evaluate(again.model, stripes.test).accuracy == evaluate(run.model, stripes.test).accuracy


def test_a_damaged_or_foreign_run_is_refused(stripes: Data, tmp_path: Path) -> None:
    train_run("perceptron", stripes, epochs=1, out=tmp_path / "run")
    weights = tmp_path / "run" / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(CheckpointError, match="sha256 differs"):
        load_run(tmp_path / "run")
    (tmp_path / "run" / "run.json").write_text("{")
    with pytest.raises(CheckpointError, match="is damaged"):
        load_run(tmp_path / "run")
    with pytest.raises(CheckpointError, match="is not a run"):
        load_run(tmp_path)


def test_the_wrong_data_for_a_model_is_refused() -> None:
    flat = Dataset.from_arrays(torch.rand(20, 30), torch.arange(20) % 2, name="flat")
    with pytest.raises(ConfigError, match="lenet-5-modern takes grey images of 28 x 28"):
        train_run("lenet-5-modern", Data("flat", flat, flat))
