"""The classic program in Keras 3 on jax: `model.fit` on arrays, as in the book.

`classic-program` times a new model's `fit` including compilation, as in every run of the program; `compiled` times the
second `fit` of one model, whose functions are already compiled.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ["KERAS_BACKEND"] = "jax"

import keras
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from worker import serve


def build() -> Any:
    """Return the compiled net."""
    model = keras.Sequential(
        [keras.Input((784,)), keras.layers.Dense(512, activation="relu"), keras.layers.Dense(10, activation="softmax")]
    )
    optimizer = keras.optimizers.RMSprop(learning_rate=1e-3, rho=0.9, epsilon=1e-7)
    model.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def fit(model: Any, epochs: int) -> float:
    """Return the seconds of `fit`."""
    start = time.perf_counter()
    model.fit(IMAGES, LABELS, epochs=epochs, batch_size=128, verbose=0)
    return time.perf_counter() - start


def anew(quick: bool) -> float:
    """Train a new model."""
    keras.utils.clear_session()
    return fit(build(), 1 if quick else 5)


def compiled(quick: bool) -> float:
    """Continue with a model that was trained before; the weights' values do not change the time."""
    return fit(KEPT, 1 if quick else 5)


FOLDER = Path(os.environ["THREEGEN_BENCH_DATA"])
IMAGES, LABELS = np.load(FOLDER / "x.npy"), np.load(FOLDER / "y.npy")
KEPT = build()
serve(compiled if sys.argv[-1] == "compiled" else anew, ("keras", "jax"))
