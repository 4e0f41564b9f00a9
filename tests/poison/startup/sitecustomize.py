"""Python imports this at its start if the folder is on PYTHONPATH; see tests/poison."""

from __future__ import annotations

import importlib.abc
import importlib.util
import os
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

ENGINE = "pipeline.core.engines.native"
KIND, ONCE = os.environ.get("DROPCAST_POISON", ""), os.environ.get("DROPCAST_POISON_ONCE", "")


class Poison(importlib.abc.MetaPathFinder):
    """Wraps the native engine once it is imported."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if name != ENGINE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        assert spec is not None and spec.loader is not None
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            forecast = module.NativeEngine.forecast

            def poisoned(self: Any, series: Any, extras: Any, spec: Any, limits: Any) -> Any:
                names = series.column("series_id").to_pylist()
                if "poison" in names:
                    take_effect(KIND)
                for kind in ("raise", "memory", "sys_exit", "exit") if KIND == "by name" else ():
                    if f"poison-{kind}" in names:
                        take_effect(kind)
                return forecast(self, series, extras, spec, limits)

            module.NativeEngine.forecast = poisoned

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def take_effect(kind: str) -> None:
    if ONCE:
        try:
            os.close(os.open(ONCE, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
    if kind == "raise":
        raise KeyError("poison")
    if kind == "sys_exit":
        sys.exit(5)
    if kind == "exit":
        os._exit(9)
    if kind == "memory":
        import numpy

        held = []
        while True:  # addresses that are never written to: no memory of the machine's
            held.append(numpy.empty(100_000_000, dtype=numpy.uint8))


if KIND:
    sys.meta_path.insert(0, Poison())
