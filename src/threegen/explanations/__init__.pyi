# Written by scripts/public_names.py from the table in names.py; do not edit.
from threegen.explanations.competition import receptive_fields as receptive_fields
from threegen.explanations.competition import theta_histogram as theta_histogram
from threegen.explanations.explain import Explainer as Explainer
from threegen.explanations.explain import explain as explain
from threegen.explanations.maps import Maps as Maps
from threegen.explanations.single_spikes import first_spike_gif as first_spike_gif
from threegen.explanations.single_spikes import seen_sheet as seen_sheet
from threegen.explanations.summary import Summary as Summary
from threegen.tracing.trace import trace_model as trace_model

__all__ = [
    "Explainer",
    "Maps",
    "Summary",
    "explain",
    "first_spike_gif",
    "receptive_fields",
    "seen_sheet",
    "theta_histogram",
    "trace_model",
]
