"""Replaces torchvision, which pytorch-grad-cam imports for methods that are not measured here.

The build that pip finds does not fit torch's CPU build: its operators fail to load.
"""

from __future__ import annotations

import sys
import types

for name in ("torchvision", "torchvision.transforms", "torchvision.transforms.functional"):
    sys.modules[name] = types.ModuleType(name)
    for inner in ("Compose", "Normalize", "ToTensor", "resize"):
        setattr(sys.modules[name], inner, None)
