"""The course pack: a folder of pages and notebooks, written whole or not at all, file by file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from joblib import Parallel, delayed

from ...symbolic.errors import VariantError
from ..files import folder, unwritable, written
from .kept import DIGESTS, check_unchanged, digest, digests_in, write_digests
from .lesson import Lesson, names, read
from .notebook import available, notebook
from .page import file_of, index_page, lecturer_page, lecturer_part, lesson_page, notation_page
from .taught import taught

MARK = "growproof course 1"  # what the index of a pack says that it was made by
NOTATION, LECTURER, INDEX = "notation.html", "lecturer.html", "index.html"
KINDS = ("student", "instructor")  # of notebooks
GET_NOTEBOOKS = 'notebooks were not written: pip install "growproof[course]"'

Say = Callable[[str], None]


@dataclass(frozen=True)
class Pack:
    """What was written, and how long it took."""

    files: tuple[str, ...]
    seconds: float
    notebooks: bool


def write_pack(into: Path, force: bool = False, say: Say = lambda text: None) -> Pack:
    """Every lesson as a page and as notebooks, with contents and the lecturer's page.

    Raises VariantError for a folder that holds something else or what was edited, unless forced, and where a file
    cannot be written.
    """
    start = time.perf_counter()
    paths = list(names().values())
    lessons = [read(path) for path in paths]
    check_folder(into, force)
    if not force:
        check_unchanged(into, names_of(lessons))
    digests = digests_in(into)
    files = []
    for name, text in pages(paths, lessons, say):
        folder((into / name).parent)
        with written(into / name) as parts:
            parts.append(text)
        digests[name] = digest(text)
        write_digests(into, digests)
        files.append(name)
    return Pack((DIGESTS, *files), time.perf_counter() - start, available())


def pages(paths: Sequence[Path], lessons: Sequence[Lesson], say: Say) -> Iterator[tuple[str, str]]:
    """The files of a pack, the lessons made on all cores; the index comes last, so that a folder with one is whole."""
    parts = []
    made = Parallel(n_jobs=-1, return_as="generator")(delayed(lesson_files)(path, paths) for path in paths)
    for lesson, one in zip(lessons, made, strict=True):
        say(lesson.title)
        parts.append(one.for_lecturer)
        yield from one.files
    yield NOTATION, notation_page()
    yield LECTURER, lecturer_page(parts)
    yield INDEX, index_page(lessons, available())


@dataclass(frozen=True)
class Made:
    """The files of a lesson, with their names, and its part of the lecturer's page."""

    files: tuple[tuple[str, str], ...]
    for_lecturer: str


def lesson_files(path: Path, paths: Sequence[Path]) -> Made:
    """Everything that one lesson adds to a pack."""
    found = taught(read(path))
    files = [(file_of(found.lesson), lesson_page(found, list(map(read, paths))))]
    for kind in KINDS if available() else ():
        files.append((notebook_of(found.lesson, kind), notebook(found, kind == "instructor")))
    return Made(tuple(files), lecturer_part(found))


def notebook_of(lesson: Lesson, kind: str) -> str:
    return f"notebooks/{kind}/{Path(file_of(lesson)).with_suffix('.ipynb')}"


def names_of(lessons: Sequence[Lesson]) -> Iterator[str]:
    """Every file of a pack, with notebooks or without."""
    for lesson in lessons:
        yield file_of(lesson)
        yield from (notebook_of(lesson, kind) for kind in KINDS)
    yield from (NOTATION, LECTURER, INDEX)


def check_folder(into: Path, force: bool) -> None:
    """Make the folder.  Raises VariantError for one that holds files and is no pack, unless forced."""
    if not is_pack(into) and not force:
        raise VariantError(
            "the folder is not empty", str(into), found="other files", expected="a new folder, or --force"
        )
    folder(into)


def is_pack(into: Path) -> bool:
    """Whether a folder is new, empty, or a pack written before.  Raises VariantError for what is no folder."""
    try:
        if not into.exists() or not any(into.iterdir()):
            return True
        index = into / INDEX
        return index.is_file() and MARK in index.read_text(encoding="utf-8", errors="replace")[:4000]
    except OSError as error:
        raise unwritable(into, error) from None
