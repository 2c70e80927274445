"""Write tests/fixtures/hundred_strokes.json: ten drawings of each digit in five hands, as lists of strokes.

    python scripts/hundred_strokes.py

The outlines below were drawn by hand on a grid of 10 x 14 before the preparation of strokes was made. Each is written
twice: large and slanted to the right, then small, off centre, slanted to the left. The page is 280 x 280.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

# Five hands a digit; strokes are separated by "/", points "x,y" by spaces; y grows downwards.
OUTLINES = {
    0: (
        "5,0 2,2 1,7 2,12 5,14 8,12 9,7 8,2 5,0",
        "5,0 0,3 0,11 5,14 10,11 10,3 5,0",
        "6,0 3,3 2,8 4,13 6,13 8,9 8,4 6,0 4,1",
        "3,1 1,5 2,11 5,14 8,12 9,6 7,1 3,1",
        "5,1 1,4 0,8 3,13 8,13 10,8 9,4 5,1",
    ),
    1: (
        "5,0 5,5 5,10 5,14",
        "2,4 4,2 6,0 6,7 6,14",
        "6,0 5,5 4,10 4,14",
        "3,3 5,1 6,0 6,14",
        "5,0 5,1 5,13 5,14",
    ),
    2: (
        "1,3 3,0 7,0 9,3 8,6 4,10 1,14 / 1,14 5,14 9,14",
        "1,2 5,0 9,3 7,7 3,11 0,14 / 0,14 10,14",
        "1,4 3,1 7,0 9,4 6,9 2,13 1,12 3,11 6,13 10,13",
        "2,2 6,0 8,3 6,8 2,13 / 2,13 9,13",
        "0,3 4,0 8,1 9,5 5,10 0,13 / 0,13 5,12 10,14",
    ),
    3: (
        "1,1 5,0 8,2 8,5 4,7 8,8 9,11 6,14 1,13",
        "1,2 4,0 8,1 8,5 5,6 / 5,6 9,8 9,12 5,14 0,12",
        "2,0 7,0 8,3 5,6 4,7 8,8 8,12 4,14 1,13",
        "1,0 5,0 9,0 / 9,0 4,6 / 4,6 8,7 9,11 6,14 1,13",
        "0,2 5,0 9,3 4,6 3,7 9,9 8,13 3,14 0,12",
    ),
    4: (
        "6,0 4,4 1,9 / 1,9 5,9 10,9 / 7,4 7,9 7,14",
        "2,0 1,4 1,7 / 1,7 5,7 9,7 / 9,0 9,7 9,14",
        "7,0 0,10 / 0,10 10,10 / 7,0 7,14",
        "2,1 2,4 2,8 / 2,8 6,8 9,7 / 8,2 8,8 7,14",
        "3,0 1,5 0,8 / 0,8 5,8 9,8 / 8,1 7,8 6,14",
    ),
    5: (
        "8,0 2,0 / 2,0 2,6 / 2,6 6,5 9,8 8,12 4,14 1,13",
        "9,0 1,0 / 1,0 1,6 / 1,6 5,5 9,7 9,11 6,14 0,13",
        "3,0 2,5 / 2,5 6,6 8,9 6,13 1,14 / 3,0 6,1 9,0",
        "9,1 3,1 / 3,1 2,7 / 2,7 7,7 8,10 6,13 1,13",
        "8,0 3,1 / 3,1 1,6 / 1,6 5,6 8,9 6,13 2,14",
    ),
    6: (
        "7,0 3,4 1,9 2,13 6,14 9,11 7,8 4,8 1,10",
        "8,1 4,2 1,7 1,11 4,14 8,13 9,10 6,7 1,9",
        "5,0 2,5 1,10 3,14 7,13 8,10 5,8 2,10",
        "6,0 3,5 2,10 4,14 7,13 7,9 4,9 2,11",
        "9,0 4,3 1,8 2,12 6,14 9,12 9,9 6,8 2,10",
    ),
    7: (
        "1,0 5,0 9,0 / 9,0 6,7 4,14",
        "0,1 5,0 10,0 / 10,0 5,14",
        "1,2 1,0 / 1,0 9,0 / 9,0 5,8 5,14",
        "1,0 9,0 / 9,0 4,14 / 3,7 8,7",
        "1,1 5,1 8,0 / 8,0 7,6 5,14",
    ),
    8: (
        "5,7 2,5 2,2 5,0 8,2 8,5 5,7 2,9 2,12 5,14 8,12 8,9 5,7",
        "8,2 5,0 2,2 3,5 7,8 8,11 5,14 2,12 3,9 7,5 8,2",
        "5,0 2,3 5,6 8,3 5,0 / 5,6 1,10 5,14 9,10 5,6",
        "9,1 5,0 2,3 5,6 8,10 6,14 3,13 3,10 6,6 9,1",
        "5,7 8,4 6,0 3,1 3,4 6,8 8,11 5,14 2,11 5,7",
    ),
    9: (
        "8,3 5,0 2,2 2,6 5,7 8,4 8,3 / 8,3 8,9 7,14",
        "9,2 5,0 1,3 3,7 8,6 9,2 / 9,2 8,9 5,14",
        "8,1 4,0 2,4 4,7 8,5 8,1 / 8,1 7,14",
        "7,2 4,1 2,4 4,7 7,5 8,2 / 8,2 8,11 5,14 1,13",
        "9,3 6,0 2,2 2,5 5,7 9,4 / 9,3 6,14",
    ),
}
FINE = 8  # points between two of the outline
FILE = Path(__file__).parents[1] / "tests" / "fixtures" / "hundred_strokes.json"

Point = tuple[float, float]


def curve(text: str) -> list[Point]:
    """Return a Catmull-Rom curve through the points of one stroke."""
    points = [(float(x), float(y)) for x, y in (pair.split(",") for pair in text.split())]
    padded = [points[0], *points, points[-1]]
    found = [points[0]]
    for a, b, c, d in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        for step in range(1, FINE + 1):
            t = step / FINE
            x, y = (
                0.5
                * (
                    2 * b[i]
                    + (c[i] - a[i]) * t
                    + (2 * a[i] - 5 * b[i] + 4 * c[i] - d[i]) * t**2
                    + (3 * b[i] - a[i] - 3 * c[i] + d[i]) * t**3
                )
                for i in (0, 1)
            )
            found.append((x, y))
    return found


def main() -> None:
    """Write the file."""
    draw = random.Random(20)
    drawings = []
    for digit, outlines in OUTLINES.items():
        for hand, outline in enumerate(outlines):
            for small in (False, True):
                scale = draw.uniform(3, 6) if small else draw.uniform(12, 17)
                slant = draw.uniform(-0.15, 0) if small else draw.uniform(0, 0.3)
                left, top = draw.uniform(15, 280 - 13 * scale - 5), draw.uniform(5, 275 - 14 * scale)
                strokes = [
                    [
                        [round(left + scale * (x - slant * (y - 7)), 1), round(top + scale * y, 1)]
                        for x, y in curve(part)
                    ]
                    for part in outline.split("/")
                ]
                drawings.append({"digit": digit, "hand": hand, "strokes": strokes})
    FILE.write_text("[\n" + ",\n".join(json.dumps(one, separators=(",", ":")) for one in drawings) + "\n]\n")


if __name__ == "__main__":
    main()
