"""The range of each feature in the training rows, mapped to 0..1 for models that require it.

    x' = (x - low) / (high - low), clipped to 0..1        low, high: the smallest and largest value of the training rows

Rows of a table have one range per feature; pictures have one range for all pixels, so that grey values keep their
order. A feature that never changes becomes 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from threegen.errors import DataError, warn_user


class FeatureRange:
    """Learned from rows `[N, features]`; calling it maps rows to 0..1, and warns once of values that were clipped.

    `low` and `span` (high - low, 1 where that is 0) are `[features]`, float64.
    """

    def __init__(self, low: np.ndarray, span: np.ndarray) -> None:
        self.low, self.span = low, span
        self._said: list[bool] = []  # changed in place: scikit-learn forbids `predict` to set attributes

    @classmethod
    def of(cls, rows: np.ndarray, *, pictures: bool) -> FeatureRange:
        """Return the range of training `rows`, one for all features if they are the pixels of `pictures`."""
        if not len(rows):
            raise DataError("there are no rows to learn a range from")
        low, high = rows.min(0).astype(np.float64), rows.max(0).astype(np.float64)
        if pictures:
            low, high = np.full_like(low, low.min()), np.full_like(high, high.max())
        with np.errstate(over="ignore"):
            span = high - low
        return cls(low, np.where(span > 0, span, 1.0))

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Return `rows` mapped to 0..1, float64."""
        mapped = (rows.astype(np.float64) - self.low) / self.span
        outside = (mapped < 0.0) | (mapped > 1.0)
        if outside.any() and not self._said:
            self._said.append(True)
            row, feature = (int(place[0]) for place in outside.nonzero())
            warn_user(
                f"{int(outside.sum()):,} values are outside the range of the training rows, the first in row {row}, "
                f"feature {feature}: {rows[row, feature]:g}, outside {self.low[feature]:g} to "
                f"{self.low[feature] + self.span[feature]:g}; they are clipped (this warning is given once)",
            )
        clipped: np.ndarray = np.clip(mapped, 0.0, 1.0)
        return clipped

    def facts(self) -> dict[str, Any]:
        """Return plain values from which `from_facts` builds the same range."""
        return {"low": self.low.tolist(), "span": self.span.tolist()}

    @classmethod
    def from_facts(cls, facts: dict[str, Any]) -> FeatureRange:
        """Return the range whose `facts()` these are."""
        return cls(np.array(facts["low"], dtype=np.float64), np.array(facts["span"], dtype=np.float64))
