"""Any trained `nn.Module` to a spiking one, and what that costs in accuracy."""

from threegen.names import open_namespace

__all__ = open_namespace(__name__)
