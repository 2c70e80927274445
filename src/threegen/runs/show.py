"""The content of `threegen show MODEL`: the paper, the equations, the layers and the plans of one entry."""

from __future__ import annotations

from typing import Any

from threegen.registry.entry import build_model, find_entry


def describe_model(name: str, shape: tuple[int, ...] = (1, 28, 28), classes: int = 10) -> dict[str, Any]:
    """Return the facts of an entry, its layers built for examples of `shape` in `classes` classes."""
    entry = find_entry(name)
    model = build_model(entry, shape, classes, 0, entry.plan("full").options)
    layers = [
        {
            "layer": path or type(model).__name__,
            "kind": str(module),
            "parameters": sum(p.numel() for p in module.parameters(recurse=False)),
        }
        for path, module in model.named_modules()
        if not list(module.children())
    ]
    return {
        "name": entry.name,
        "title": entry.title,
        "generation": entry.generation,
        "year": entry.year,
        "paper": entry.paper,
        "about": entry.about,
        "equations": entry.equations,
        "rule": entry.rule_name,
        "input": list(shape),
        "parameters": sum(p.numel() for p in model.parameters()),
        "layers": layers,
        "plans": [
            {"plan": mode, **{k: str(v) for k, v in plan.describe().items()}, "budget in seconds": plan.seconds}
            for mode, plan in entry.plans.items()
        ],
    }
