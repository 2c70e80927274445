"""`explain(model)`: one object whose methods look inside any `nn.Module`.

    look = tg.explain(model)
    look.summary();  look.saliency(x, modifier="guided");  look.grad_cam(x).save("heat.png")

Every method takes a batch, returns tensors (or a table) that can be shown and saved, and leaves the model unchanged.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from threegen.checks import require_choice
from threegen.errors import ConfigError
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
from threegen.explanations.scores import Choice
from threegen.explanations.subject import Subject, Target
from threegen.explanations.summary import Summary, example_for, summary
from threegen.tracing.inputs import Inputs


def explain(
    model: nn.Module,
    *,
    example: Inputs | None = None,
    seed: int = 0,
    scores: Choice = None,
    time: int | None = None,
) -> Explainer:
    """Return the `Explainer` of `model`.

    `example` is a batch that the model takes, for `summary()` and `diagram()` (they guess one otherwise). `seed` is for
    all random draws: spikes, noise, first pictures. `scores` selects the scores [B, classes] if the model returns
    several outputs: a name, a number or a function of the returned value; "binary" takes a single output as the logit
    of two classes. `time` is the time axis of the input, if the model's layers do not define it (0 for [T, B, ...], 1
    for [B, T, ...]). Raises `ConfigError` for an object that is not a module and for an invalid choice.
    """
    return Explainer(model, example=example, seed=seed, scores=scores, time=time)


class Explainer:
    """The explanations of one model. Each method is described in the module of the same name."""

    def __init__(
        self,
        model: nn.Module,
        *,
        example: Inputs | None = None,
        seed: int = 0,
        scores: Choice = None,
        time: int | None = None,
    ) -> None:
        self.subject = Subject(model, seed, scores=scores, time=time)
        self.example = example

    def __repr__(self) -> str:
        return f"explain({self.subject.name}): {', '.join(METHODS)}, summary, diagram, filters, maximise, check"

    def _example(self, x: Inputs | None) -> Inputs:
        if x is not None:
            return x
        if self.example is None:
            self.example = example_for(self.subject)
        return self.example

    def _one_example(self, x: Inputs | None) -> Tensor:
        found = self._example(x)
        if not isinstance(found, Tensor):
            raise ConfigError("maximise needs a model of one input; wrap the model in a module with one input")
        return self.subject.samples_first(found)

    def _map(self, method: Any, x: Tensor, *arguments: Any, **options: Any) -> Maps:
        """Return the maps of a method, one per sample [B, ...]."""
        found: Maps = method(self.subject, self.subject.samples_first(x), *arguments, **options)
        return found

    def _input_map(self, method: Any, x: Tensor, *arguments: Any, **options: Any) -> Maps:
        """Return the maps of a method whose maps are shaped like the input, time first if the input has time first."""
        found = self._map(method, x, *arguments, **options)
        return found.with_samples_at(1) if self.subject.axis(x) and found.dim() == x.dim() else found

    # -- structure -----------------------------------------------------------------------------------------------------
    def summary(self, x: Inputs | None = None, **options: Any) -> Summary:
        """Return one row per layer: shape, parameters, operations, state, time steps (see `summary.summary`)."""
        return summary(self.subject, self._example(x), **options)

    def diagram(self, x: Inputs | None = None, **options: Any) -> Drawing:
        """Return the graph as an SVG drawing (see `diagram.diagram`)."""
        return diagram(self.subject, self._example(x), **options)

    def neurons(self) -> Drawing:
        """Return a small net's neurons and connections, coloured by weight (see `diagram.neuron_drawing`)."""
        return neuron_drawing(self.subject)

    # -- what it has learned
    # --------------------------------------------------------------------------------------------
    def filters(self, layer: Layer = None, *, shape: tuple[int, ...] | None = None) -> Maps:
        """Return a layer's weights as pictures (see `filters.filters`)."""
        return filters(self.subject, layer, shape=shape)

    def maximise(self, layer: Layer = None, unit: int | list[int] | None = None, **options: Any) -> Maps:
        """Return inputs that excite a class or a unit most (see `maximise.maximise`)."""
        return maximise(self.subject, layer, unit, example=self._one_example(options.pop("example", None)), **options)

    # -- what happens for one input ------------------------------------------------------------------------------------
    def feature_maps(self, layer: str | nn.Module, x: Tensor, *, per_step: bool = False) -> Maps:
        """Return a layer's result for `x` (see `activations.feature_maps`)."""
        return feature_maps(self.subject, layer, self.subject.samples_first(x), per_step=per_step)

    def activation_histograms(self, x: Tensor, *, bins: int = 40) -> Histograms:
        """Return the histogram of every layer's output (see `activations.activation_histograms`)."""
        return activation_histograms(self.subject, self.subject.samples_first(x), bins=bins)

    def spike_activation_maps(self, x: Tensor, *, layer: Layer = None, **options: Any) -> Maps:
        """Return where recent spikes accumulate in a spiking net (see `activations.spike_activation_maps`)."""
        return self._map(spike_activation_maps, x, layer=layer, **options)

    # -- why this answer -----------------------------------------------------------------------------------------------
    def saliency(self, x: Tensor, target: Target = None, **options: Any) -> Maps:
        """Return the gradient of the score with respect to the input (see `saliency.saliency`)."""
        return self._input_map(saliency, x, target, **options)

    def gradient_x_input(self, x: Tensor, target: Target = None, **options: Any) -> Maps:
        """Return gradient times input (see `saliency.gradient_x_input`)."""
        return self._input_map(gradient_x_input, x, target, **options)

    def smooth_grad(self, x: Tensor, target: Target = None, **options: Any) -> Maps:
        """Return the mean gradient over noisy inputs (see `saliency.smooth_grad`)."""
        return self._input_map(smooth_grad, x, target, **options)

    def integrated_gradients(self, x: Tensor, target: Target = None, **options: Any) -> Maps:
        """Return integrated gradients (see `saliency.integrated_gradients`)."""
        return self._input_map(integrated_gradients, x, target, **options)

    def occlusion(self, x: Tensor, target: Target = None, **options: Any) -> Maps:
        """Return the drop of the score as a window covers parts of the image (see `occlusion.occlusion`)."""
        return self._map(occlusion, x, target, **options)

    def grad_cam(self, x: Tensor, target: Target = None, **options: Any) -> Maps:
        """Return Grad-CAM maps (see `cam.grad_cam`)."""
        return self._map(grad_cam, x, target, **options)

    def grad_cam_plus_plus(self, x: Tensor, target: Target = None, **options: Any) -> Maps:
        """Return Grad-CAM++ maps (see `cam.grad_cam`)."""
        return self._map(grad_cam, x, target, plus_plus=True, **options)

    def guided_grad_cam(self, x: Tensor, target: Target = None, **options: Any) -> Maps:
        """Return guided back-propagation times Grad-CAM (see `cam.guided_grad_cam`)."""
        return self._input_map(guided_grad_cam, x, target, **options)

    def class_activation_map(self, x: Tensor, target: Target = None, **options: Any) -> Maps:
        """Return class activation maps (see `cam.class_activation_map`)."""
        return self._map(class_activation_map, x, target, **options)

    # -- is it true ----------------------------------------------------------------------------------------------------
    def deletion_insertion(self, x: Tensor, maps: Tensor, target: Target = None, **options: Any) -> Faithfulness:
        """Return how the score falls and rises as pixels are covered and uncovered by rank (see `evidence`)."""
        moved = self.subject.samples_first(x)
        if isinstance(maps, Tensor) and self.subject.axis(moved) and maps.shape == x.shape:
            maps = maps.detach().as_subclass(Tensor).movedim(1, 0)
        return deletion_insertion(self.subject, moved, maps, target, **options)

    def randomisation(
        self, x: Tensor, method: str = "saliency", target: Target = None, **options: Any
    ) -> Randomisation:
        """Return how a map changes as the layers are redrawn, last first (see `evidence`)."""
        return randomisation(self.subject, self.subject.samples_first(x), self._maker(method, options), target)

    def check(
        self,
        x: Tensor,
        methods: tuple[str, ...] = ("saliency", "gradient_x_input"),
        target: Target = None,
        *,
        measure: str = "probability",
    ) -> Evidence:
        """Return the evidence for several methods at once, in seconds (see `evidence.check`)."""
        makers = {method: self._maker(method, {}) for method in methods}
        return check(self.subject, self.subject.samples_first(x), makers, target, measure=measure)

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
