"""Diagnosis of a network of competing neurons that does not learn, in figures and sentences."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

DEAD, REPEATED, TOGETHER, SATURATED = 0.2, 1.0, 0.1, 0.5  # shares (repeats: a mean) above which something is wrong


@dataclass(frozen=True)
class Diagnosis:
    """The activity of a network of competing neurons on some examples.

    `spikes` and `repeats` are means per example: spikes of the neurons in its last presentation, and presentations
    beyond the first. `silent_examples`: the share that never made the neurons fire often enough. `dead`: the share of
    neurons that never fired. `together`: the most neurons that fired in one step. `theta_mean`, `theta_least`,
    `theta_most` in mV, `theta_drift` the change of the mean from its start. `at_zero` and `at_one`: shares of weights
    at their bounds.
    `labelled`: the share of neurons with a class. `findings` are sentences on problems and what to do.
    """

    spikes: float
    repeats: float
    silent_examples: float
    dead: float
    together: int
    theta_mean: float
    theta_least: float
    theta_most: float
    theta_drift: float
    at_zero: float
    at_one: float
    labelled: float
    findings: tuple[str, ...] = ()

    def __str__(self) -> str:
        figures = (
            f"{self.spikes:.1f} spikes and {self.repeats:.2f} repeats per example, {self.dead:.0%} of the neurons "
            f"dead, "
            f"at most {self.together} firing together, theta {self.theta_mean:.1f} mV ({self.theta_drift:+.1f}), "
            f"{self.at_zero:.0%} of the weights at 0 and {self.at_one:.0%} at 1"
        )
        return "\n".join([figures, *(f"- {finding}" for finding in self.findings)])


def diagnose_counts(
    counts: Tensor, outcome: Tensor, weight: Tensor, theta: Tensor, assignments: Tensor, *, start: float, least: int
) -> Diagnosis:
    """Return the diagnosis for spikes [B, N] and outcomes [B, 5] of a network with weights [N, D] and theta [N]."""
    spikes, repeats = (float(column) for column in outcome[:, :2].double().mean(0))
    together, neurons = int(outcome[:, 2].max()), len(theta)
    figures = {
        "spikes": spikes,
        "repeats": repeats,
        "silent_examples": float((outcome[:, 0] < least).double().mean()),
        "dead": float((counts.sum(0) == 0).double().mean()),
        "theta_mean": float(theta.mean()),
        "theta_least": float(theta.min()),
        "theta_most": float(theta.max()),
        "theta_drift": float(theta.double().mean()) - start,
        "at_zero": float((weight <= 1e-6).double().mean()),
        "at_one": float((weight >= 1 - 1e-3).double().mean()),
        "labelled": float((assignments >= 0).double().mean()),
    }
    found = _findings(figures, together, neurons, len(counts))
    return Diagnosis(together=together, findings=tuple(found), **figures)


def _findings(figures: dict[str, float], together: int, neurons: int, examples: int) -> list[str]:
    found = []
    if figures["silent_examples"] > 0.05:
        found.append(
            f"{figures['silent_examples']:.0%} of the examples do not make the neurons fire: the input is too dark or "
            "the thresholds are too high; scale inputs to 0..1, or lower theta_plus"
        )
    elif figures["repeats"] > REPEATED:
        found.append(
            f"an example is shown {1 + figures['repeats']:.1f} times on average: the thresholds are too high for the "
            f"input; "
            "lower theta_plus (it suits 400 neurons; fewer neurons need less)"
        )
    if neurons > 1 and together > max(2.0, TOGETHER * neurons):
        found.append(
            f"{together} of {neurons} neurons fire in the same step: they learn the same; use delays or the variant "
            '"fast", whose inhibition acts at once'
        )
    if figures["dead"] > DEAD and examples * figures["spikes"] > 10 * neurons:
        found.append(
            f"{figures['dead']:.0%} of the neurons never fire on {examples:,} examples: other neurons always win; "
            f"train longer or raise theta_plus"
        )
    if figures["at_one"] > SATURATED or figures["at_zero"] > 0.99:
        found.append("most weights are at a bound: lower eta_post or the norm")
    if figures["labelled"] == 0.0:
        found.append("no neuron has a class, all votes are 0: run AssignLabels on labelled training examples")
    return found
