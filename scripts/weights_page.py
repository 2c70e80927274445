"""Make docs/weights.md and its picture from the manifest of the weights that ship: python scripts/weights_page.py"""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import fill
from typing import Any

import torch

from threegen.datasets.strokes import mnist_form_of_strokes
from threegen.plots import contact_sheet
from threegen.runs.pretrained import pretrained_models
from threegen.training.persistence.files import write_whole

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "weights.md"
PICTURE = ROOT / "docs" / "pictures" / "misread-drawings.png"
DRAWINGS = ROOT / "tests" / "fixtures" / "hundred_strokes.json"

HEAD = """# Weights that ship

The package contains trained weights of the whole lineage. Nothing is downloaded.

```python
import threegen as tg

net = tg.pretrained("mlp")
test = tg.load_data("mnist").test
print(tg.evaluate(net, test.take(1000)))
```

On the command line such a name can be given in place of a run's folder:

```sh
threegen predict lenet-5 picture.png     # a picture file, or the number of a test image
threegen explain lenet-5 7 --method occlusion
threegen evaluate mlp
threegen spikes spiking-mlp 7
threegen predict spiking-events RECORDING.bin     # a recording of an event camera
```

A folder of that name that holds a run is used instead of the weights that ship; the answer says which of them it was.
`tg.registry.pretrained_models()` returns these facts and more, among them the SHA-256 of each file, which is checked
whenever a model is loaded.

## What they reach

Each was trained on MNIST's 60,000 training images by the command below with seed 0; the test split was read by
the weights as they are stored (for six of them again when facts were added to the list; nothing was changed after a
reading). Intervals are Wilson's at 95 %. The last column counts the drawings read out of the one
hundred of `tests/fixtures/hundred_strokes.json`: ten of each digit in five hands, large and small, slanted and off
center.
{exceptions}
| name | year | rule | T | test accuracy | interval | stored as | kB | drawings |
|---|---|---|---|---|---|---|---|---|
"""

MIDDLE = """
Together {total:.1f} MB. Tensors of 4,096 values or more are stored in float16 unless that costs more than two right
answers on the first 10,000 training images; every model computes in float32. To make one of them again:

```sh
python scripts/pretrained_weights.py mlp
```

| name | training | seconds | command |
|---|---|---|---|
"""

TAIL = """
Seconds were taken on a shared machine and include idle time.

## Drawings that are misread

{sentence}

![The drawings that at least one model misreads, as the networks see them](pictures/misread-drawings.png)

| drawing | digit | misread by |
|---|---|---|
{rows}
"""


def page(models: dict[str, dict[str, Any]]) -> str:
    """Return the page as text."""
    drawings = json.loads(DRAWINGS.read_text())
    lines, making = [], []
    for name, facts in models.items():
        low, high = facts["interval"]
        steps = facts["steps"] or ""
        lines.append(
            f"| `{name}` | {facts['year']} | {facts['rule']} | {steps} | {facts['accuracy']:.2%} "
            f"| {low:.2%} to {high:.2%} | {facts['precision']} | {facts['bytes'] / 1000:,.0f} "
            f"| {facts['drawings']['read']} |"
        )
        plan = facts["plan"]
        making.append(
            f"| `{name}` | plan {facts['mode']}, {plan['epochs']} epochs, options {_options(plan.get('options'))} "
            f"| {facts['seconds']:,.0f} | `{facts['command']}` |"
        )
    rows = []
    for number in misread(models):
        wrong = [
            f"`{name}` ({facts['drawings']['misread'][str(number)]})"
            for name, facts in models.items()
            if str(number) in facts["drawings"]["misread"]
        ]
        rows.append(f"| {number} | {drawings[number]['digit']} | {', '.join(wrong)} |")
    total = sum(facts["bytes"] for facts in models.values()) / 1e6
    sentence = f"{len(rows)} of the one hundred are misread by at least one model, in brackets by which digit."
    tail = TAIL.format(sentence=sentence, rows="\n".join(rows))
    head = HEAD.replace("{exceptions}", "".join(_exception(name, facts) for name, facts in models.items()))
    return head + "\n".join(lines) + "\n" + MIDDLE.format(total=total) + "\n".join(making) + "\n" + tail


def _exception(name: str, facts: dict[str, Any]) -> str:
    """Return a sentence on a model that was trained or tested on other data than MNIST."""
    if "trained_on" not in facts:
        return ""
    sentence = f"`{name}` was trained on {facts['trained_on']} and tested on {facts['tested_on']}. Drawings are"
    return f"\n{fill(sentence + ' recorded by that camera, too.', 120)}\n"


def _options(options: dict[str, Any] | None) -> str:
    return ", ".join(f"{key} {value}" for key, value in (options or {}).items()) or "none"


def misread(models: dict[str, dict[str, Any]]) -> list[int]:
    """Return the numbers of the drawings that at least one model misreads."""
    return sorted({int(number) for facts in models.values() for number in facts["drawings"]["misread"]})


def main() -> None:
    """Write the page and its picture."""
    models = pretrained_models()
    write_whole(PAGE, page(models))
    drawings = json.loads(DRAWINGS.read_text())
    images = torch.cat([mnist_form_of_strokes(drawings[number]["strokes"]) for number in misread(models)])
    write_whole(PICTURE, contact_sheet(images.numpy(), columns=10, scale=3))


if __name__ == "__main__":
    main()
