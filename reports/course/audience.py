"""Which files of a pack are the lecturer's alone: they hold the solutions, and no server hands them out."""

from __future__ import annotations

from pathlib import PurePath

FOR_LECTURER = (PurePath("lecturer.html"), PurePath("notebooks/instructor"))


def for_lecturer(path: str) -> bool:
    """Whether a path within a pack is the lecturer's, however its letters are written.

    >>> for_lecturer("lecturer.html"), for_lecturer("Notebooks/instructor/01.ipynb"), for_lecturer("notebooks/student")
    (True, True, False)
    """
    return any(PurePath(path.lower()).is_relative_to(own) for own in FOR_LECTURER)
