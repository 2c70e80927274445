"""Convert any trained `nn.Module` to a spiking net, and measure the loss of accuracy."""

from threegen.names import open_namespace

__all__ = open_namespace(__name__)
