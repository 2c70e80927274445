"""One call of a torch function as it happened, and what it costs: the terms that the tables of prices share.

The signal that arrives is "values", "spikes" (0 or 1) or "counts" (summed or averaged spikes). It comes from the
model's structure. A tensor without data (`device="meta"`) has shapes only: what depends on its values is not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Call:
    """One call: its arguments, its result, the first tensor that depends on the input, and that one's signal.

    `table` [out, in] says which planes a convolution's planes are connected with, if not with all of their group.
    """

    name: str
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    out: Tensor
    data: Tensor
    signal: str
    table: Tensor | None = None
    unit: float | None = None  # what one spike adds to the data, if they are counts of spikes

    def get(self, position: int, name: str, default: Any = None) -> Any:
        """Return the argument called `name`, or the one at `position`, or `default`."""
        if name in self.kwargs:
            return self.kwargs[name]
        return self.args[position] if position < len(self.args) else default


@dataclass(frozen=True, slots=True)
class Work:
    """The price of a call: operations over the whole batch; `stored` if the output is stored as a layer's own."""

    kind: str
    operations: dict[str, int] = field(default_factory=dict)
    stored: bool = False
    signal: str = "values"
    unit: float | None = None  # of counts: what one spike adds to the output


Price = Callable[[Call], Work]


def products(
    kind: str,
    call: Call,
    dense: int,
    effective: Callable[[], int],
    bias: bool,
    *,
    signal: str | None = None,
    summed: Callable[[], float] | None = None,
) -> Work:
    """Return the work of a layer of products: accumulates if spikes arrive, else multiply-accumulates.

    `effective` counts those whose input is not zero, `summed` adds up the input of each of them; neither is called if
    the tensors have no data.
    """
    if (signal or call.signal) == "spikes":
        own = {"ac": effective()}
    else:
        own = {"mac": dense} if call.data.is_meta else {"mac": dense, "mac_nonzero": effective()}
        if call.signal == "counts" and summed is not None and call.unit is not None and not call.data.is_meta:
            own["ac_each"] = round(summed() / call.unit)
    if bias:
        own["add"] = call.out.numel()
    return Work(kind, own, stored=True)


def each(kind: str, *operations: str, **several: int) -> Price:
    """Return the price of an elementwise function: one of each of `operations` per output element, or `several`."""

    def price(call: Call) -> Work:
        amounts = dict.fromkeys(operations, 1) | several
        return Work(kind, {name: amount * call.out.numel() for name, amount in amounts.items()})

    return price
