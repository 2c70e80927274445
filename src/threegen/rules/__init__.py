"""The learning rules, one file each; `rule.py` defines what a rule is."""

from threegen.names import open_namespace

__all__ = open_namespace(__name__)
