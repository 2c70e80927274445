"""Recurrent nets: units that read a sequence step by step and feed back their last state.

    Elman   h_t = tanh(W x_t + U h_(t-1) + b)
    LSTM    i, f, o = sigmoid(W_ifo x_t + U_ifo h_(t-1) + b_ifo);  g = tanh(W_g x_t + U_g h_(t-1) + b_g)
            c_t = f c_(t-1) + i g;  h_t = o tanh(c_t)
    GRU     r, z = sigmoid(W_rz x_t + U_rz h_(t-1) + b_rz);  n = tanh(W_n x_t + b_n + r (U_n h_(t-1) + a_n))
            h_t = (1 - z) n + z h_(t-1)
    all     s_t = V h_t + d            the scores after step t

Elman, "Finding structure in time", Cognitive Science 14 (1990) 179-211. Hochreiter and Schmidhuber, "Long short-term
memory", Neural Computation 9 (1997) 1735-1780; its forget gate: Gers, Schmidhuber and Cummins, Neural Computation 12
(2000) 2451-2471. Cho et al., "Learning phrase representations using RNN encoder-decoder", EMNLP 2014.

Shapes: B examples, T steps, F inputs per step, H hidden units, K scores.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from threegen.checks import require_choice, require_float, require_whole
from threegen.errors import ShapeError
from threegen.gen2.initial_values import fill_weight, linear, require_init

State = tuple[Tensor, ...]  # (h,) or, for an LSTM, (h, c); each [layers, B, H]
CELLS: dict[str, Callable[..., nn.RNNBase]] = {"elman": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


class RecurrentNet(nn.Module):
    """A recurrent layer (or several) that reads `inputs` numbers per step, and a linear read-out of `classes` scores.

    `forward` takes sequences `[B, T, inputs]`, or grey images `[B, 1, T, inputs]` whose rows are the steps, and
    returns the scores `[B, classes]` after the last step. `walk` gives the scores after every step and takes and
    returns the state, so that a long sequence can be read in windows.
    `cell` is "elman" (tanh units), "lstm" or "gru". Initial values come only from `generator`: weights from the input
    and into the read-out by `init`, the recurrent ones orthogonal (Saxe et al. 2014). Biases are zero, except that the
    LSTM's forget gate starts open, at bias 1 (Gers et al. 2000). Raises `ConfigError` for sizes and names that cannot
    work, `ShapeError` for other inputs.
    """

    def __init__(
        self,
        inputs: int,
        hidden: int,
        classes: int,
        *,
        cell: str = "elman",
        layers: int = 1,
        init: str | float = "glorot-uniform",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.inputs = require_whole("inputs", inputs)
        self.hidden = require_whole("hidden", hidden)
        self.classes = require_whole("classes", classes)
        self.cell = require_choice("cell", cell, CELLS)
        self.init = require_init(init)
        require_whole("layers", layers)
        # Built without initialisation and then filled, so that only `generator` is used.
        empty = CELLS[cell](inputs, hidden, num_layers=layers, batch_first=True, device="meta")
        self.recurrent = empty.to_empty(device="cpu")
        self.readout = linear(hidden, classes, init, generator)
        self._start(generator)

    @torch.no_grad()
    def _start(self, generator: torch.Generator | None) -> None:
        for name, parameter in self.recurrent.named_parameters():
            for gate in torch.split(parameter, self.hidden):
                if name.startswith("weight_ih"):
                    fill_weight(gate, self.init, generator)
                elif name.startswith("weight_hh"):
                    nn.init.orthogonal_(gate, generator=generator)
                else:
                    gate.zero_()
            if self.cell == "lstm" and name.startswith("bias_ih"):
                torch.split(parameter, self.hidden)[1].fill_(1.0)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the scores `[B, classes]` after the last step; larger is better."""
        signals, _ = self.recurrent(self.as_sequence(inputs))
        scores: Tensor = self.readout(signals[:, -1])
        return scores

    def walk(self, sequence: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Return the scores `[B, T, classes]` after every step of `sequence` `[B, T, inputs]`, and the last state.

        `state` is the state returned by an earlier call; None starts from zero.
        """
        before = state if state is None or self.cell == "lstm" else state[0]
        signals, after = self.recurrent(sequence, before)
        return self.readout(signals), after if self.cell == "lstm" else (after,)

    def as_sequence(self, inputs: Tensor) -> Tensor:
        """Return `inputs` as `[B, T, inputs]`; an image's rows become its steps. Raises `ShapeError`."""
        weight: Tensor = self.readout.weight
        require_float("RecurrentNet", inputs, weight)
        rows = inputs.squeeze(1) if inputs.dim() == 4 and inputs.shape[1] == 1 else inputs
        if rows.dim() != 3 or rows.shape[2] != self.inputs or rows.shape[1] == 0:
            raise ShapeError(
                f"RecurrentNet expects sequences [B, T, {self.inputs}] or images [B, 1, T, {self.inputs}], "
                f"got {list(inputs.shape)}"
            )
        return rows

    def extra_repr(self) -> str:
        """Return what `repr` shows between the brackets."""
        return f"{self.inputs}, {self.hidden}, {self.classes}, cell={self.cell!r}"
