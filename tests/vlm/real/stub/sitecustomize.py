"""A torchvision built for CUDA cannot load its operators beside a CPU torch, and then fails to import.

Python runs this file at its start; it declares the two operators that the import looks up, when torchvision
is first asked for. They cannot be called; resizing and normalising need neither.
"""

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType

KEPT = []


class DeclareFirst(importlib.abc.MetaPathFinder):
    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name == "torchvision":
            sys.meta_path.remove(self)
            import torch

            library = torch.library.Library("torchvision", "FRAGMENT")
            for operator in ("nms", "qnms"):
                library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            KEPT.append(library)
        return None


sys.meta_path.insert(0, DeclareFirst())
