"""Arrays of a format that round the result of every operation to it, for a forward pass that knows nothing of formats.

A format of 16 bits is held in float32, as hardware does: each operation of numpy (a matrix product with all its
additions is one) runs in float32, and its result is rounded once.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from .formats import Array, Format


class Settled(np.ndarray):
    """An array whose `form` every result of an operation is rounded to.

    >>> from .formats import number_format
    >>> third = settled(np.ones(1), number_format("bfloat16")) / 3
    >>> float(third[0]), float((third + 100)[0])
    (0.333984375, 100.5)
    """

    form: Format

    def __array_finalize__(self, source: Any) -> None:
        if isinstance(source, Settled):
            self.form = source.form

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, **options: Any) -> Any:
        plain = [entry.view(np.ndarray) if isinstance(entry, Settled) else entry for entry in inputs]
        return rounded(getattr(ufunc, method)(*plain, **options), self.form)

    def __array_function__(
        self, function: Callable[..., Any], types: Iterable[type], args: Iterable[Any], options: Mapping[str, Any]
    ) -> Any:
        return rounded(super().__array_function__(function, types, args, options), self.form)


def rounded(found: Any, form: Format) -> Any:
    """What numpy returns, in the format if it is made of real numbers; indices and truth values as they are."""
    return settled(found, form) if isinstance(found, (np.ndarray, np.generic)) and found.dtype.kind == "f" else found


def settled(array: Any, form: Format) -> Array:
    """An array rounded to a format; one of 16 bits goes on rounding."""
    if form.working is form:
        return form.load(np.asarray(array))
    found = form.load(np.asarray(array)).view(Settled)
    found.form = form
    return found
