"""growproof: proves that a transformer can grow without changing its function.

The names below are imported on first use, so that ``import growproof`` costs nothing.

>>> import growproof
>>> sorted(growproof.__all__)
['check', 'exercise', 'expand', 'loads', 'prove', 'report', 'variant']
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"
__all__ = ["check", "exercise", "expand", "loads", "prove", "report", "variant"]

# Public name -> (module, name in it).
_HOMES: dict[str, tuple[str, str]] = {
    "check": ("growproof.api", "check"),
    "exercise": ("growproof.reports.course.exercises", "exercise"),
    "expand": ("growproof.api", "expand"),
    "loads": ("growproof.api", "loads"),
    "prove": ("growproof.api", "prove"),
    "report": ("growproof.api", "report"),
    "variant": ("growproof.api", "variant"),
}


def __getattr__(name: str) -> Any:
    """The public name, imported from its home (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
