"""The deep belief net: directed layers below an associative memory, a restricted Boltzmann machine with label units.

    p(x_0 .. x_n, y, t) = P(x_0 | x_1) ... P(x_(n-1) | x_n) p(x_n, y, t)
    P(x_(l-1) = 1 | x_l) = sigmoid(c_l + x_l G_l)              downwards, by the generative weights
    Q(x_l = 1 | x_(l-1)) = sigmoid(b_l + x_(l-1) R_l^T)        upwards, by the recognition weights
    F(x_n, y) = -a . x_n - a_y - sum_j softplus(d_j + (U x_n)_j + L_jy)      the label y of least F is the answer

x_0 is the image, x_n the layer below the top, t the top layer, y the label: one unit per class, exactly one of them on.
While the layers are trained one by one, as RBMs, R_l = G_l; the up-down algorithm then trains them separately.

Hinton, Osindero and Teh, "A fast learning algorithm for deep belief nets", Neural Computation 18 (2006) 1527-1554;
fine-tuning by back-propagation: Hinton and Salakhutdinov, Science 313 (2006) 504-507.

Shapes: B examples, L and U units of a lower and the next upper layer, P units below the top, C classes, T top units.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from threegen.checks import (
    require_choice,
    require_features,
    require_labels,
    require_number,
    require_sizes,
    require_states,
    require_unit_range,
    require_whole,
)
from threegen.errors import ConfigError, ShapeError
from threegen.functional.energy.free_energy import class_free_energies, join_labels
from threegen.functional.energy.units import (
    BernoulliUnits,
    SoftmaxUnits,
    Units,
    are_binary,
    require_unit_values,
)
from threegen.gen2.initial_values import linear
from threegen.gen2.rbm import RBM, UnitChoice
from threegen.machine.draws import draw_one_of

# The units of `to_mlp`, with the transform of their total input x: slope x + offset.
_UNITS: dict[str, tuple[type[nn.Module], float, float]] = {
    "sigmoid": (nn.Sigmoid, 1.0, 0.0),
    "relu": (nn.ReLU, 0.25, 0.5),
}


class AssociativeMemory(RBM):
    """The two layers at the top: `below` binary units plus a unit for each of `classes` (0: none).

    `weight` is `[T, P + C]`, the labels' part last. Reconstructed labels stay softmax probabilities while the other
    units are drawn, as in appendix B of the paper.
    """

    def __init__(self, below: int, hidden: int, classes: int, generator: torch.Generator | None = None) -> None:
        units: list[Units] = [BernoulliUnits(below)]
        if classes:
            units.append(SoftmaxUnits(classes))
        super().__init__(below + classes, hidden, units, generator=generator)
        self.below, self.classes = below, classes

    def visible_states(self, inputs: Tensor, targets: Tensor | None = None) -> Tensor:
        """Return `inputs` `[B, P]` with the code of the labels `targets` `[B]` appended, `[B, P + C]`."""
        name = type(self).__name__
        below = require_unit_range(name, require_features(name, inputs, self.below, self.weight))
        if not self.classes:
            return below
        if targets is None:
            raise ConfigError(f"this memory has label units for {self.classes} classes; give data with labels")
        return join_labels(below, targets, self.classes)

    def draw_visible(self, mean: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return the units below drawn given their means `[..., P + C]`; the labels' probabilities stay."""
        states = BernoulliUnits(self.below).draw(mean[..., : self.below], generator)
        return torch.cat([states, mean[..., self.below :]], -1) if self.classes else states

    def input_from_below(self, below: Tensor) -> Tensor:
        """Return the total input of the top units from `below` `[B, P]` and biases, without labels: `[B, T]`."""
        return F.linear(below, self.weight[:, : self.below], self.hidden_bias)

    def scores(self, below: Tensor) -> Tensor:
        """Return -F(x_n, y) `[B, C]` of `below` `[B, P]` with every label; one product with U is shared by all of
        them."""
        own = self.visible_bias[: self.below]
        labels, bias = self.weight[:, self.below :], self.visible_bias[self.below :]
        return (below @ own).unsqueeze(1) - class_free_energies(self.input_from_below(below), labels, bias)


@dataclass(frozen=True, eq=False)
class Dream:
    """The result of `dream`: `images` [F, N, pixels] at F moments, and `states` [N, P] from which to continue.

    Images are in 0..1 for binary visible units.
    """

    images: Tensor
    states: Tensor


class DBN(nn.Module):
    """A deep belief net of layers of binary units, such as `DBN([784, 500, 500, 2000], classes=10)`.

    `layers` are RBMs between neighbouring layers (their `weight` `[U, L]` and `hidden_bias` are the recognition
    weights, their `visible_bias` the generative biases), `generative` the weights downwards `[U, L]`, `top` the
    associative memory of the last two sizes, with a label unit for each class.

    `forward` takes `[B, sizes[0]]` or images of as many pixels, goes up without sampling, and returns the negated free
    energies `[B, classes]`: their softmax is P(y | x_n), exactly. A net without classes returns the means of its top
    layer `[B, sizes[-1]]`. Train it by `fit(dbn, pretraining(dbn, epochs=...), data)`, then by `up_down(dbn, ...)` or,
    as `to_mlp()`, by `Backprop()`.

    `visible_units` are those of the input, as for `RBM`: "bernoulli" takes values in 0..1, "gaussian" real values of
    about variance 1, such as standardised features. All other layers are binary. Weights are drawn from `generator`,
    N(0, .01^2).

    Raises `ConfigError` for sizes, units or classes that cannot work and for inputs outside 0..1 into binary units,
    `ShapeError` for inputs of another width or type.

    >>> dbn = DBN([20, 16, 16, 32], classes=3, visible_units="gaussian")
    >>> dbn(torch.randn(5, 20)).shape
    torch.Size([5, 3])
    """

    def __init__(
        self,
        sizes: Iterable[int],
        *,
        classes: int | None = None,
        visible_units: UnitChoice = "bernoulli",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.sizes = require_sizes("sizes", sizes, least_length=3)
        self.classes = 0 if classes is None else require_whole("classes", classes, least=2)
        pairs = list(zip(self.sizes, self.sizes[1:], strict=False))
        kinds: list[UnitChoice] = [visible_units, *["bernoulli"] * (len(pairs) - 2)]
        self.layers = nn.ModuleList(
            RBM(lower, upper, kind, generator=generator) for (lower, upper), kind in zip(pairs[:-1], kinds, strict=True)
        )
        self.generative = nn.ParameterList(layer.weight.detach().clone() for layer in self._rbms())
        self.top = AssociativeMemory(*pairs[-1], self.classes, generator)

    def extra_repr(self) -> str:
        """Return what `print` shows."""
        return f"{self.sizes}, {self.classes} classes"

    @property
    def visible_units(self) -> Units:
        """The units of the input."""
        return self._rbms()[0].visible_units

    @property
    def needs_unit_range(self) -> bool:
        """Whether inputs must be in 0..1; Gaussian units take any values."""
        return are_binary(self.visible_units)

    def _rbms(self) -> list[RBM]:
        return [layer for layer in self.layers if isinstance(layer, RBM)]

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the scores `[B, classes]` of `inputs`, larger is better; or the top's means `[B, sizes[-1]]`."""
        below = self.encode(inputs)
        return self.top.scores(below) if self.classes else self.top.hidden_given_visible(below)

    # -- up and down --------------------------------------------------------------------------------------------------

    def encode(self, inputs: Tensor, depth: int | None = None) -> Tensor:
        """Return the means of layer `depth` (0: the input; by default the one below the top), without sampling."""
        if depth is not None and not 0 <= require_whole("depth", depth, least=0) < len(self.sizes) - 1:
            raise ConfigError(f"depth must be 0..{len(self.sizes) - 2}, got {depth}")
        name = type(self).__name__
        state = require_features(name, inputs, self.sizes[0], self.top.weight)
        require_unit_values(name, self.visible_units, state)
        for layer in self._rbms()[:depth]:
            state = layer.hidden_given_visible(state)
        return state

    def below(self, number: int, upper: Tensor) -> Tensor:
        """Return the means `[..., L]` of layer `number` given states `[..., U]` of the next one, by the weights G."""
        rbm = self._rbms()[number]
        name = type(self).__name__
        require_states(name, f"states of layer {number + 1}", upper, rbm.hidden, rbm.weight)
        require_unit_range(name, upper, finite=False)
        return rbm.visible_units.mean(F.linear(upper, self.generative[number].T, rbm.visible_bias))

    def decode(self, states: Tensor) -> Tensor:
        """Return the images `[..., sizes[0]]` generated from states `[..., P]` of the layer below the top.

        Gaussian visible units give real values, binary ones probabilities.
        """
        for number in range(len(self.layers) - 1, -1, -1):
            states = self.below(number, states)
        return states

    @torch.no_grad()
    def reconstruct(self, inputs: Tensor) -> Tensor:
        """Return the reconstruction of `inputs` `[B, ...]` from the layer below the top, `[B, sizes[0]]`."""
        top = torch.sigmoid(self.top.input_from_below(self.encode(inputs)))
        return self.decode(self.top.visible_given_hidden(top)[:, : self.sizes[-2]])

    @torch.no_grad()
    def untie(self, number: int) -> None:
        """Copy the weights of layer `number`, trained as an RBM, to the generative ones."""
        self.generative[number].copy_(self._rbms()[number].weight)

    # -- dreaming -----------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def dream(
        self,
        labels: Tensor | None = None,
        *,
        chains: int = 1,
        steps: int = 200,
        every: int = 0,
        states: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Dream:
        """Run the memory's chains for `steps` of Gibbs sampling and return them as images.

        `labels` `[N]` are clamped; without them `chains` run freely and labels are drawn too. The chains start with
        units drawn from their biases only, or from `states` `[N, P]`. An image is made every so many steps (0: only of
        the last state) by one downward pass without sampling. Raises `ConfigError` if the net has no classes to clamp.
        """
        if labels is not None and not self.classes:
            raise ConfigError("this net has no classes; run its chains without labels")
        require_whole("steps", steps)
        require_whole("every", every, least=0)
        width = self.sizes[-2]
        if labels is not None:
            require_labels(labels, self.classes)
        if states is not None:
            require_states(type(self).__name__, "states", states, width, self.top.weight)
            if labels is not None and len(labels) != len(states):
                raise ShapeError(f"dream got {len(labels)} labels for {len(states)} states; give one for each")
        if states is None:
            number = require_whole("chains", chains) if labels is None else len(labels)
            alone = torch.sigmoid(self.top.visible_bias[:width]).expand(number, width)
            states = BernoulliUnits(width).draw(alone, generator)
        held = None if labels is None else join_labels(states[:, :0], labels.to(states.device), self.classes)
        code = held
        if held is None and self.classes:
            code = states.new_full((len(states), self.classes), 1 / self.classes)
        images = []
        for step in range(1, steps + 1):
            visible = states if code is None else torch.cat([states, code], 1)
            hidden = self.top.draw_hidden(self.top.hidden_given_visible(visible), generator)
            mean = self.top.visible_given_hidden(hidden)
            states = BernoulliUnits(width).draw(mean[:, :width], generator)
            if held is None and self.classes:
                code = draw_one_of(mean[:, width:], generator)
            if step == steps or (every and step % every == 0):
                images.append(self.decode(mean[:, :width]))
        return Dream(torch.stack(images), states)

    def generate(
        self,
        label: int | None = None,
        count: int = 1,
        *,
        steps: int = 1000,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Return `count` images `[count, sizes[0]]` in 0..1 that the memory generates for `label` (None: any label).

        Raises `ConfigError` for a net without classes, `DataError` for an unknown label.
        """
        require_whole("count", count)
        labels = None if label is None else torch.full((count,), require_whole("label", label, least=0))
        return self.dream(labels, chains=count, steps=steps, generator=generator).images[-1]

    @torch.no_grad()
    def receptive_fields(self, depth: int = 1) -> Tensor:
        """Return the receptive field of each unit of layer `depth` (1: the first hidden one), `[units, pixels]`.

        For the first layer these are its weights, for upper ones the product with the weights below, which ignores the
        units' nonlinearity.
        """
        if not 1 <= require_whole("depth", depth) < len(self.sizes):
            raise ConfigError(f"depth must be 1..{len(self.sizes) - 1}, got {depth}")
        weights = [layer.weight.detach() for layer in self._rbms()]
        weights.append(self.top.weight.detach()[:, : self.sizes[-2]])
        fields = weights[0]
        for weight in weights[1:depth]:
            fields = weight @ fields
        return fields

    # -- fine-tuning by back-propagation -------------------------------------------------------------------------------

    @torch.no_grad()
    def to_mlp(
        self,
        classes: int | None = None,
        *,
        activation: str = "sigmoid",
        dropout: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> nn.Sequential:
        """Return an ordinary net of the recognition weights and a last linear layer, for `Backprop()`.

        The last layer starts with the weights of the label units, or, for a net without labels, with small random
        weights for `classes`; the top units' biases include the labels at their mean, 1/C each. No memory is shared
        with this net.

        Args:
            classes: the number of scores; needed only for a net without label units.
            activation: "sigmoid", the units that were pre-trained; or "relu", rectified units, which can be converted
                to spiking ones. A rectified unit starts with the tangent of its sigmoid at 0, max(0, x / 4 + 1 / 2):
                weights and bias are divided by 4 and 1/2 is added to the bias. So the outputs keep about the size that
                the next layer was trained on; for small x they agree to the first order.
            dropout: the rate of the `nn.Dropout` after each hidden layer; 0 for none. generator: draws the weights of a
                new last layer.

        Raises `ConfigError` for settings that cannot work.

        >>> net = DBN([784, 500, 500, 2000], classes=10).to_mlp(activation="relu")
        >>> [type(part).__name__ for part in net][:3]
        ['Flatten', 'Linear', 'ReLU']
        """
        require_number("dropout", dropout, least=0.0, below=1.0)
        unit, slope, offset = _UNITS[require_choice("activation", activation, _UNITS)]
        if self.classes and classes not in (None, self.classes):
            raise ConfigError(f"this net has {self.classes} classes, to_mlp was called with classes={classes}")
        if not self.classes and classes is None:
            raise ConfigError("this net has no classes; give their number: to_mlp(classes=10)")
        outputs = self.classes or require_whole("classes", classes or 0, least=2)
        below = self.sizes[-2]
        labels = self.top.weight[:, below:]
        weights: list[tuple[Tensor, Tensor]] = [(layer.weight, layer.hidden_bias) for layer in self._rbms()]
        weights.append((self.top.weight[:, :below], self.top.hidden_bias + (labels.mean(1) if self.classes else 0)))
        parts: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
        for number, (weight, bias) in enumerate(weights, start=1):
            layer = linear(weight.shape[1], weight.shape[0], "zeros")
            parts[f"linear{number}"] = _filled(layer, slope * weight, slope * bias + offset)
            parts[f"activation{number}"] = unit()
            if dropout:
                parts[f"dropout{number}"] = nn.Dropout(dropout)
        last = linear(self.sizes[-1], outputs, 0.01, generator)
        if self.classes:
            _filled(last, labels.T, self.top.visible_bias[below:])
        parts[f"linear{len(weights) + 1}"] = last
        return nn.Sequential(parts).to(self.top.weight.device, self.top.weight.dtype)


def _filled(layer: nn.Linear, weight: Tensor, bias: Tensor) -> nn.Linear:
    layer.to(weight)  # before it is filled, so that float64 weights are not rounded
    layer.weight.copy_(weight)
    layer.bias.copy_(bias)
    return layer
