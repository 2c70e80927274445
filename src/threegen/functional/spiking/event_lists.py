"""Lists of spikes, and of changes relative to inputs that fire at most steps.

`Events` are the spikes of each row. `Changes` encode a block of time with fewer entries: an input that fires at most
steps of an example is *steady* there, and is listed again only at steps where it is silent.

    x[t, b, i] = steady[b, i] + change[t, b, i], the change 1, 0 or -1       steady where x fires at > (t + 1) / 2 steps

A picture whose pixels fire at random with their brightness sends most of its spikes from pixels that are nearly white:
MNIST over ten steps takes 0.29 visits per spike. What fires in few of the steps is listed as it is, so there are never
more visits than spikes. In a list, number i stands for +1 at i and its complement ~i, which is negative, for -1.

Shapes: t time steps, B examples, R rows of any kind, I inputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from threegen.machine.compiler import parallel, ready_numba, serial

numba = ready_numba()

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Events:
    """The inputs that fire in each row: those of row r are `index[begin[r]:end[r]]`, in ascending order; `inputs` is
    I."""

    begin: Array
    end: Array
    index: Array
    inputs: int

    @property
    def count(self) -> int:
        """The number of spikes."""
        return int((self.end - self.begin).sum())

    @property
    def density(self) -> float:
        """The share of inputs that fire."""
        return self.count / max(1, len(self.begin) * self.inputs)

    def take(self, start: int, stop: int) -> Events:
        """Return the rows `start` to `stop`, over the same memory."""
        return Events(self.begin[start:stop], self.end[start:stop], self.index, self.inputs)


@dataclass(frozen=True, slots=True)
class Visits:
    """Inputs of each example in sections: those of example b in section k are `index[at[b, k]:at[b, k + 1]]`.

    `at` is [B, K + 1]: one section, K = 1, or one for each time step. Inputs are ascending within a section.
    """

    at: Array
    index: Array

    @property
    def count(self) -> int:
        """The number of inputs in all sections."""
        return int((self.at[:, -1] - self.at[:, 0]).sum())


@dataclass(frozen=True, slots=True)
class Changes:
    """A block of spikes [t, B, I] as steady inputs and the changes around them: each a row of weights to visit."""

    steady: Visits
    changing: Visits
    inputs: int

    @property
    def steps(self) -> int:
        """The number of time steps t."""
        return int(self.changing.at.shape[1]) - 1

    @property
    def batch(self) -> int:
        """The number of examples B."""
        return int(self.changing.at.shape[0])

    @property
    def density(self) -> float:
        """Visits as a share of those for spikes at all inputs and steps."""
        visits = self.steady.count + self.changing.count
        return visits / max(1, self.batch * self.steps * self.inputs)


@parallel
def _count_spikes(spikes: Array, counts: Array) -> None:
    for r in numba.prange(len(spikes)):
        total = 0
        for i in range(spikes.shape[1]):
            total += spikes[r, i] != 0
        counts[r] = total


@parallel
def _list_spikes(spikes: Array, begin: Array, index: Array) -> None:
    """Write the positions of spikes, without a branch: a position is overwritten by the next one unless it fired."""
    for r in numba.prange(len(spikes)):
        at = begin[r]
        last = begin[r + 1]
        i = 0
        while at < last:
            index[at] = i
            at += spikes[r, i] != 0
            i += 1


def list_events(spikes: Tensor) -> Events:
    """Return the events of spikes [R, I], bytes or floats; anything but 0 is a spike."""
    array = spikes.detach().contiguous().numpy()
    counts = np.empty(len(array), np.int64)
    _count_spikes(array, counts)
    begin = np.zeros(len(array) + 1, np.int64)
    np.cumsum(counts, out=begin[1:])
    index = np.empty(int(begin[-1]), np.int32)
    _list_spikes(array, begin, index)
    return Events(begin[:-1], begin[1:], index, array.shape[1])


@parallel
def _count_changes(spikes: Array, counts: Array, sizes: Array) -> None:
    """Fill `counts` [B, I] with the spikes of each input and `sizes` [2, B] with the lengths of the lists."""
    steps, batch, inputs = spikes.shape
    for b in numba.prange(batch):
        own = counts[b]
        own[:] = 0
        for t in range(steps):
            row = spikes[t, b]
            for i in range(inputs):
                own[i] += row[i] != 0
        steady, changing = 0, 0
        for i in range(inputs):
            is_steady = 2 * own[i] > steps + 1
            steady += is_steady
            changing += steps - own[i] if is_steady else own[i]
        sizes[0, b], sizes[1, b] = steady, changing


@parallel
def _list_changes(
    spikes: Array, counts: Array, begins: Array, steady: Array, changing: Array, changing_at: Array
) -> None:
    """Fill the lists of every example from `begins` [2, B]; each has one spare entry at its end.

    There is no branch: an entry is overwritten by the next one unless it counts. An input that fires at every step is
    listed once; inputs that never fire are not visited again.
    """
    steps, batch, inputs = spikes.shape
    for b in numba.prange(batch):
        own, lively = counts[b], np.empty(inputs + 1, np.int32)
        at, many = begins[0, b], 0
        for i in range(inputs):
            is_steady = 2 * own[i] > steps + 1
            steady[at] = i
            at += is_steady
            lively[many] = ~i if is_steady else i
            many += (own[i] > 0) & ((own[i] < steps) | (steps == 1))  # nothing is steady within one step
        at = begins[1, b]
        for t in range(steps):
            changing_at[b, t] = at
            row = spikes[t, b]
            for q in range(many):
                code = lively[q]
                changing[at] = code
                at += (row[code if code >= 0 else ~code] != 0) != (code < 0)
        changing_at[b, steps] = at


def list_changes(spikes: Tensor) -> Changes:
    """Return the changes of a block of spikes [t, B, I], bytes or floats; anything but 0 is a spike."""
    array = spikes.detach().contiguous().numpy()
    steps, batch, inputs = array.shape
    counts, sizes = np.empty((batch, inputs), np.int32), np.empty((2, batch), np.int64)
    _count_changes(array, counts, sizes)
    ends = np.cumsum(sizes + 1, axis=1)
    begins = ends - sizes - 1
    steady, changing = (np.empty(int(end[-1]) if batch else 0, np.int32) for end in ends)
    changing_at = np.empty((batch, steps + 1), np.int64)
    _list_changes(array, counts, begins, steady, changing, changing_at)
    steady_at = np.stack([begins[0], begins[0] + sizes[0]], axis=1)
    return Changes(Visits(steady_at, steady), Visits(changing_at, changing), inputs)


@serial
def _sort_by_input(at: Array, index: Array, first: Array, rows: Array) -> None:
    """Sort visits by input: input i is named in the rows `rows[first[i]:first[i + 1]]`; `first` [I + 2] begins as 0.

    The row of section k of example b is k B + b, complemented where the input was.
    """
    batch, sections = len(at), at.shape[1] - 1
    for b in range(batch):
        for p in range(at[b, 0], at[b, sections]):
            first[max(index[p], ~index[p]) + 2] += 1
    for i in range(2, len(first)):
        first[i] += first[i - 1]
    for b in range(batch):
        for k in range(sections):
            row = k * batch + b
            for p in range(at[b, k], at[b, k + 1]):
                i = max(index[p], ~index[p]) + 1
                rows[first[i]] = row if index[p] >= 0 else ~row
                first[i] += 1


def sort_by_input(changes: Changes) -> list[Array]:
    """Return, for steady inputs and for changes, `first` [I + 1] and `rows`: `rows[first[i]:first[i + 1]]` name i.

    Those of steady are examples, the others are rows of a matrix [t B, ...], or their complements.
    """
    found: list[Array] = []
    for visits in (changes.steady, changes.changing):
        first, rows = np.zeros(changes.inputs + 2, np.int64), np.empty(visits.count, np.int32)
        _sort_by_input(visits.at, visits.index, first, rows)
        found += [first[:-1], rows]
    return found
