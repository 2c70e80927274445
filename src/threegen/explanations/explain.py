"""`explain(model)`: one object whose methods look inside any `nn.Module`.

    look = tg.explain(model)
    look.summary();  look.saliency(x, modifier="guided");  look.grad_cam(x).save("heat.png")

Every method takes a batch, returns tensors (or a table) that can be shown and saved, and leaves the model as it was.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from threegen.checks import require_choice
from threegen.explanations.activations import Histograms, activation_histograms, feature_maps, spike_activation_maps
from threegen.explanations.cam import Layer, class_activation_map, grad_cam, guided_grad_cam
from threegen.explanations.diagram import Drawing, diagram, neuron_drawing
from threegen.explanations.evidence import (
    Evidence,
    Faithfulness,
    Randomisation,
    check,
    deletion_insertion,
    randomisation,
)
from threegen.explanations.filters import filters
from threegen.explanations.maps import Maps
from threegen.explanations.maximise import maximise
from threegen.explanations.occlusion import occlusion
from threegen.explanations.saliency import gradient_x_input, integrated_gradients, saliency, smooth_grad
from threegen.explanations.subject import Subject, Target
from threegen.explanations.summary import Summary, example_for, summary


def explain(model: nn.Module, *, example: Tensor | None = None, seed: int = 0) -> Look:
    """Return a `Look` into `model`.

    `example` is a batch that the model takes, for `summary()` and `diagram()` (they guess one otherwise). `seed` draws
    what has to be drawn: spikes, noise, first pictures. Raises `ConfigError` for what is no module.
    """
    return Look(model, example=example, seed=seed)


class Look:
    """What there is to see in one model. Each method is described in the module that has its name."""

    def __init__(self, model: nn.Module, *, example: Tensor | None = None, seed: int = 0) -> None:
        self.subject = Subject(model, seed)
        self.example = example

    def __repr__(self) -> str:
        return f"explain({self.subject.name}): {', '.join(METHODS)}, summary, diagram, filters, maximise, check"

    def _example(self, x: Tensor | None) -> Tensor:
        if x is not None:
            return x
        if self.example is None:
            self.example = example_for(self.subject)
        return self.example

    # -- what it is made of --------------------------------------------------------------------------------------------
    def summary(self, x: Tensor | None = None) -> Summary:
        """Return one row a layer: shape, parameters, operations, state, time steps (see `summary.summary`)."""
        return summary(self.subject, self._example(x))

    def diagram(self, x: Tensor | None = None) -> Drawing:
        """Return the graph as an SVG drawing (see `diagram.diagram`)."""
        return diagram(self.subject, self._example(x))

    def neurons(self) -> Drawing:
        """Return a small net's neurons and connections, coloured by weight (see `diagram.neuron_drawing`)."""
        return neuron_drawing(self.subject)

    # -- what it has learnt --------------------------------------------------------------------------------------------
    def filters(self, layer: Layer = None, *, shape: tuple[int, ...] | None = None) -> Maps:
        """Return a layer's weights as pictures (see `filters.filters`)."""
        return filters(self.subject, layer, shape=shape)

    def maximise(self, layer: Layer = None, unit: int | list[int] | None = None, **options: Any) -> Maps:
        """Return inputs that excite a class or a unit most (see `maximise.maximise`)."""
        return maximise(self.subject, layer, unit, example=self._example(options.pop("example", None)), **options)

    # -- what happens for one input ------------------------------------------------------------------------------------
    def feature_maps(self, layer: str | nn.Module, x: Tensor, *, per_step: bool = False) -> Maps:
        """Return what a layer makes of `x` (see `activations.feature_maps`)."""
        return feature_maps(self.subject, layer, x, per_step=per_step)

    def activation_histograms(self, x: Tensor, *, bins: int = 40) -> Histograms:
        """Return the histogram of every layer's output (see `activations.activation_histograms`)."""
        return activation_histograms(self.subject, x, bins=bins)

    def spike_activation_maps(self, x: Tensor, *, layer: Layer = None, **options: Any) -> Maps:
        """Return where recent spikes pile up in a spiking net (see `activations.spike_activation_maps`)."""
        return spike_activation_maps(self.subject, x, layer=layer, **options)

    # -- why this answer -----------------------------------------------------------------------------------------------
    def saliency(self, x: Tensor, target: Target = None, **options: Any) -> Maps:
        """Return the gradient of the score by the input (see `saliency.saliency`)."""
        return saliency(self.subject, x, target, **options)

    def gradient_x_input(self, x: Tensor, target: Target = None, **options: Any) -> Maps:
        """Return gradient times input (see `saliency.gradient_x_input`)."""
        return gradient_x_input(self.subject, x, target, **options)

    def smooth_grad(self, x: Tensor, target: Target = None, **options: Any) -> Maps:
        """Return the mean gradient over noisy inputs (see `saliency.smooth_grad`)."""
        return smooth_grad(self.subject, x, target, **options)

    def integrated_gradients(self, x: Tensor, target: Target = None, **options: Any) -> Maps:
        """Return integrated gradients (see `saliency.integrated_gradients`)."""
        return integrated_gradients(self.subject, x, target, **options)

    def occlusion(self, x: Tensor, target: Target = None, **options: Any) -> Maps:
        """Return what the score loses where a window covers the image (see `occlusion.occlusion`)."""
        return occlusion(self.subject, x, target, **options)

    def grad_cam(self, x: Tensor, target: Target = None, **options: Any) -> Maps:
        """Return Grad-CAM maps (see `cam.grad_cam`)."""
        return grad_cam(self.subject, x, target, **options)

    def grad_cam_plus_plus(self, x: Tensor, target: Target = None, **options: Any) -> Maps:
        """Return Grad-CAM++ maps (see `cam.grad_cam`)."""
        return grad_cam(self.subject, x, target, plus_plus=True, **options)

    def guided_grad_cam(self, x: Tensor, target: Target = None, **options: Any) -> Maps:
        """Return guided back-propagation times Grad-CAM (see `cam.guided_grad_cam`)."""
        return guided_grad_cam(self.subject, x, target, **options)

    def class_activation_map(self, x: Tensor, target: Target = None, **options: Any) -> Maps:
        """Return class activation maps (see `cam.class_activation_map`)."""
        return class_activation_map(self.subject, x, target, **options)

    # -- is it true ----------------------------------------------------------------------------------------------------
    def deletion_insertion(self, x: Tensor, maps: Tensor, target: Target = None, **options: Any) -> Faithfulness:
        """Return how the score falls and rises as pixels go and come by rank (see `evidence`)."""
        return deletion_insertion(self.subject, x, maps, target, **options)

    def randomisation(
        self, x: Tensor, method: str = "saliency", target: Target = None, **options: Any
    ) -> Randomisation:
        """Return how a map changes as the layers are drawn anew, last first (see `evidence`)."""
        return randomisation(self.subject, x, self._maker(method, options), target)

    def check(
        self, x: Tensor, methods: tuple[str, ...] = ("saliency", "gradient_x_input"), target: Target = None
    ) -> Evidence:
        """Return the evidence for several methods at once, in seconds (see `evidence.check`)."""
        return check(self.subject, x, {method: self._maker(method, {}) for method in methods}, target)

    def _maker(self, method: str, options: dict[str, Any]) -> Any:
        function = METHODS[require_choice("method", method, METHODS)]

        def maker(subject: Subject) -> Any:
            def make(x: Tensor, target: Target) -> Tensor:
                maps: Maps = function(subject, x, target, **options)
                return maps.as_subclass(Tensor)

            return make

        return maker


METHODS: dict[str, Any] = {
    "saliency": saliency,
    "gradient_x_input": gradient_x_input,
    "smooth_grad": smooth_grad,
    "integrated_gradients": integrated_gradients,
    "occlusion": occlusion,
    "grad_cam": grad_cam,
    "guided_grad_cam": guided_grad_cam,
    "class_activation_map": class_activation_map,
}
