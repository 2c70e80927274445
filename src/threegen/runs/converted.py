"""Runs that hold a converted net: the content of their `run.json`, and how they are opened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from threegen.conversion.convert import ConvertedNet
from threegen.errors import CheckpointError, ConfigError
from threegen.gen3.spiking_graph import SpikingGraph
from threegen.registry.entry import Entry, find_entry
from threegen.runs.record import Facts


def converted_facts(model: nn.Module, command: str = "", source: str = "") -> Facts:
    """Return the facts of a converted net for `run.json`: its plan, its report, and its source."""
    if not isinstance(model, SpikingGraph):
        raise ConfigError(f"a converted run holds a SpikingGraph, got {type(model).__name__}")
    report = model.report.as_dict() if isinstance(model, ConvertedNet) and model.report is not None else {}
    return {"converted": {"plan": model.plan, "report": report, "command": command, "from": source}}


def converted_entry(entry: Entry) -> Entry:
    """Return the entry of the spiking copy of a model, with its name for reports."""
    if entry.finish is not None:
        return entry
    return replace(
        entry,
        name=f"{entry.name}-converted",
        title=f"{entry.title}, converted to spikes",
        generation=3,
        rule_name=f"{entry.rule_name}, then conversion",
        lineage=False,
    )


def built_again(folder: Path, facts: Mapping[str, Any], own: Entry | None = None) -> tuple[Entry, SpikingGraph]:
    """Return entry and net of a converted run, its weights not yet loaded; raises `CheckpointError`."""
    plan = facts["converted"].get("plan")
    try:
        net = ConvertedNet(**plan)
    except (TypeError, ConfigError, ValueError, KeyError, IndexError) as problem:
        raise CheckpointError(f"{folder}/run.json: the plan of its converted net is damaged: {problem}") from problem
    return converted_entry(own or find_entry(facts["name"])), net
