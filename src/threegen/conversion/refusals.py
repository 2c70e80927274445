"""What cannot be converted, and what to do instead: one sentence per kind of call, with the names of the user's
model."""

from __future__ import annotations

from threegen.errors import ConfigError

_TRAIN = "train the network with nn.ReLU in its place"
_NORM = (
    "each example is normalised by its own mean and variance, which a spiking layer does not know before its spikes "
    "have arrived; train with nn.BatchNorm, whose statistics are folded into the weights"
)
_RECURRENT = "it has a time axis and its own state; train a spiking net on the sequences instead (tg.SpikingMLP)"
_SMOOTH = "a spike count cannot be negative and grows in proportion, as nn.ReLU does; " + _TRAIN
# function -> why, and what to do
REASONS: dict[str, str] = {
    **dict.fromkeys(("sigmoid", "logsigmoid", "softplus", "tanh", "hardtanh", "hardsigmoid"), _SMOOTH),
    **dict.fromkeys(("gelu", "silu", "elu", "selu", "celu", "mish", "hardswish", "softsign"), _SMOOTH),
    **dict.fromkeys(("leaky_relu", "prelu", "rrelu"), "its outputs below zero have no spikes; " + _TRAIN),
    **dict.fromkeys(
        ("softmax", "log_softmax"), "it compares all values at once; only a softmax at the very end can be converted"
    ),
    **dict.fromkeys(("layer_norm", "group_norm", "instance_norm", "rms_norm"), _NORM),
    "local_response_norm": "it divides by the values of neighbouring channels; train the network without it",
    **dict.fromkeys(("lstm", "gru", "rnn_tanh", "rnn_relu"), _RECURRENT),
    **dict.fromkeys(("lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell"), _RECURRENT),
    **dict.fromkeys(
        ("scaled_dot_product_attention", "multi_head_attention_forward"),
        "it multiplies signals with each other, and two spike trains have no product of rates; convert only the layers "
        "before it",
    ),
    **dict.fromkeys(
        ("mul", "matmul", "bmm", "einsum"), "it multiplies two signals with each other; only sums can be converted"
    ),
    "embedding": "it looks up rows by index instead of summing a signal; give the network one-hot vectors",
    **dict.fromkeys(("pow", "square", "sqrt", "exp", "log", "abs", "sin", "cos"), _SMOOTH),
    **dict.fromkeys(
        ("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"),
        "transposed convolutions are not supported yet; use a resize and a convolution",
    ),
    **dict.fromkeys(
        ("getitem", "chunk", "split", "select", "narrow", "unbind"),
        "parts of a signal are not supported yet; write the parts as separate layers",
    ),
}


def refuse(label: str, function: str, reason: str = "") -> ConfigError:
    """Return the error for a call of `function` in the part of the model called `label`."""
    where = f"{label} ({function})" if label and label != function else function
    why = reason or REASONS.get(function, "it is neither a sum nor a pooling nor a rectifier; " + _TRAIN)
    return ConfigError(f"convert cannot turn {where} into spikes: {why}")
