"""Lists of spikes against the spikes: what is listed must add up to them, with no more visits than spikes."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from threegen.functional.spiking.event_lists import Changes, list_changes, sort_by_input


def by_hand(changes: Changes) -> torch.Tensor:
    """Return the block [t, B, I] that the lists describe."""
    block = torch.zeros(changes.steps, changes.batch, changes.inputs)
    for b in range(changes.batch):
        begin, end = changes.steady.at[b]
        for i in changes.steady.index[begin:end]:
            block[:, b, i] += 1
        for t in range(changes.steps):
            for code in changes.changing.index[changes.changing.at[b, t] : changes.changing.at[b, t + 1]]:
                block[t, b, max(code, ~code)] += 1 if code >= 0 else -1
    return block


@settings(max_examples=40, deadline=None)
@given(
    steps=st.integers(1, 9),
    batch=st.integers(1, 4),
    inputs=st.integers(1, 12),
    density=st.sampled_from([0.0, 0.1, 0.5, 0.8, 1.0]),
    floats=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_steady_inputs_and_changes_add_up_to_the_spikes(
    steps: int, batch: int, inputs: int, density: float, floats: bool, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    spikes = (torch.rand(steps, batch, inputs, generator=generator) < density).float()
    changes = list_changes(spikes if floats else spikes.to(torch.uint8))
    assert torch.equal(by_hand(changes), spikes)
    visits = changes.steady.count + changes.changing.count
    assert visits <= spikes.sum()
    assert changes.density == visits / spikes.numel()
    counts = spikes.sum(0)
    assert changes.steady.count == (counts > (steps + 1) / 2).sum()


def test_an_input_that_always_fires_is_visited_once_an_example() -> None:
    changes = list_changes(torch.ones(10, 3, 7, dtype=torch.uint8))
    assert (changes.steady.count, changes.changing.count) == (21, 0)
    spikes = torch.ones(10, 3, 7, dtype=torch.uint8)
    spikes[4, 1, 5] = 0
    changes = list_changes(spikes)
    assert changes.changing.index[changes.changing.at[1, 4] : changes.changing.at[1, 5]].tolist() == [~5]


def test_sorted_by_input_every_visit_is_there_once() -> None:
    spikes = (torch.rand(5, 4, 9, generator=torch.Generator().manual_seed(1)) < 0.5).to(torch.uint8)
    changes = list_changes(spikes)
    steady_first, steady_rows, first, rows = sort_by_input(changes)
    found = torch.zeros(5, 4, 9)
    for i in range(9):
        for b in steady_rows[steady_first[i] : steady_first[i + 1]]:
            found[:, b, i] += 1
        for code in rows[first[i] : first[i + 1]]:
            found.view(20, 9)[max(code, ~code), i] += 1 if code >= 0 else -1
    assert torch.equal(found, spikes.float())
