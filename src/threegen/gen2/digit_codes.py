"""The fixed codes of LeNet-5's output: ten digits, drawn 7 wide and 12 high, black +1 and white -1.

The paper shows such drawings of all printable characters (its figure 3) and gives no table; the ten below were drawn
for threegen in the same style: a class's code is a stylised picture of it, so that digits that look alike have similar
codes. Any two differ in at least 16 of the 84 places.

LeCun et al., Proceedings of the IEEE 86 (1998), section II.B, "Gaussian connections".
"""

from __future__ import annotations

import torch
from torch import Tensor

WIDTH, HEIGHT = 7, 12

DRAWINGS = (
    """
    ..###..
    .##.##.
    ##...##
    ##...##
    ##...##
    ##...##
    ##...##
    ##...##
    ##...##
    ##...##
    .##.##.
    ..###..
    """,
    """
    ...##..
    ..###..
    .####..
    ...##..
    ...##..
    ...##..
    ...##..
    ...##..
    ...##..
    ...##..
    .######
    .######
    """,
    """
    .#####.
    ##...##
    .....##
    .....##
    .....##
    ....##.
    ...##..
    ..##...
    .##....
    ##.....
    #######
    #######
    """,
    """
    #######
    .....##
    ....##.
    ...##..
    ..####.
    .....##
    .....##
    .....##
    .....##
    ##...##
    #######
    .#####.
    """,
    """
    ....##.
    ...###.
    ..####.
    .##.##.
    ##..##.
    ##..##.
    #######
    #######
    ....##.
    ....##.
    ....##.
    ....##.
    """,
    """
    #######
    #######
    ##.....
    ##.....
    ######.
    .....##
    .....##
    .....##
    .....##
    ##...##
    ##..##.
    .####..
    """,
    """
    ...###.
    ..##...
    .##....
    ##.....
    ##.....
    ##.###.
    ###..##
    ##...##
    ##...##
    ##...##
    ###.##.
    .####..
    """,
    """
    #######
    #######
    .....##
    ....##.
    ....##.
    ...##..
    ...##..
    ..##...
    ..##...
    ..##...
    ..##...
    ..##...
    """,
    """
    .#####.
    ##...##
    ##...##
    ##...##
    .##.##.
    ..###..
    .##.##.
    ##...##
    ##...##
    ##...##
    ##...##
    .#####.
    """,
    """
    .#####.
    ##...##
    ##...##
    ##...##
    .######
    ..##.##
    .....##
    .....##
    .....##
    ....##.
    ...##..
    ####...
    """,
)


def digit_codes() -> Tensor:
    """Return the codes [10, 84], row by row of each drawing, float32 of +1 and -1."""
    signs = {"#": 1.0, ".": -1.0}
    return torch.tensor([[signs[mark] for mark in "".join(drawing.split())] for drawing in DRAWINGS])
