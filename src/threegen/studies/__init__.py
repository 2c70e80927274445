"""Textbook experiments: `threegen study NAME` runs one, measures its figures and draws them."""

from threegen.names import open_namespace

__all__ = open_namespace(__name__)
