"""The page of equations: its examples hold, and it names every option and surrogate that there is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from threegen.functional.spiking.neurons import SURROGATES
from threegen.gen3.encoders import ENCODERS
from threegen.gen3.neuron_options import NeuronOptions
from threegen.gen3.readouts import READOUTS
from threegen.rules.spiking_losses import RECORD_LOSSES

PAGE = (Path(__file__).parents[2] / "docs" / "the-neuron.md").read_text()


def test_the_examples_hold() -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    assert len(blocks) == 6
    names: dict[str, Any] = {}
    for block in blocks:
        exec(block, names)


def test_every_option_is_on_the_page() -> None:
    for name in (*NeuronOptions.__annotations__, "recurrent"):
        assert f"`{name}" in PAGE, name
    for name in SURROGATES:
        assert f"| `{name}`" in PAGE
    for name in READOUTS:
        assert f'readout="{name}"' in PAGE
    for name in RECORD_LOSSES:
        assert f"| `{name}` |" in PAGE
    assert {"direct"} < set(ENCODERS)
