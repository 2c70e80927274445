"""What the layers of a model are made of: spiking neurons, the units of Boltzmann machines, norms for spikes."""

from threegen.names import open_namespace

__all__ = open_namespace(__name__)
