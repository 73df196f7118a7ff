"""`growproof course DIR`: a whole pack, refused where it would write over something else."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from growproof.reports.course import lesson, pack

LESSONS = lesson.names()


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A course of two lessons, made in this process."""
    two = {name: LESSONS[name] for name in ("blocks", "heads")}
    monkeypatch.setattr(pack, "names", lambda: two)
    monkeypatch.setattr(pack, "Parallel", lambda n_jobs, return_as: lambda calls: (f(*a, **k) for f, a, k in calls))


@pytest.mark.usefixtures("short")
def test_a_pack_is_written_with_json_about_it(run: Callable[..., Any], tmp_path: Path) -> None:
    ran = run("course", tmp_path / "pack", "--json", limit=120)
    found = json.loads(ran.out)
    assert ran.status == 0
    assert found["files"][-3:] == ["notation.html", "lecturer.html", "index.html"]
    assert {"01-blocks.html", "04-heads.html"} <= set(found["files"])
    assert found["seconds"] > 0
    written = {str(path.relative_to(tmp_path / "pack")) for path in (tmp_path / "pack").rglob("*") if path.is_file()}
    assert written == set(found["files"])
    assert all((tmp_path / "pack" / name).stat().st_size < 1_000_000 for name in written)
    if found["notebooks"]:
        assert {f"notebooks/{kind}/01-blocks.ipynb" for kind in ("student", "instructor")} <= written


@pytest.mark.usefixtures("short")
def test_every_link_of_a_pack_leads_to_a_file_of_it(run: Callable[..., Any], tmp_path: Path) -> None:
    run("course", tmp_path, limit=120)
    for page in tmp_path.glob("*.html"):
        for link in re.findall(r'<a href="(?!https?:)([^"#]+)"', page.read_text()):
            assert (tmp_path / link).exists(), (page, link)


@pytest.mark.usefixtures("short")
def test_the_lecturer_sees_solutions_and_the_student_does_not(run: Callable[..., Any], tmp_path: Path) -> None:
    run("course", tmp_path, limit=120)
    solution = "[&#39;constraint M_W_O = 0&#39;, &#39;block product&#39;"
    assert solution in (tmp_path / "lecturer.html").read_text()
    assert solution not in (tmp_path / "04-heads.html").read_text()
    assert "SOLUTION" not in "".join(path.read_text() for path in (tmp_path / "notebooks/student").glob("*"))


@pytest.mark.usefixtures("short")
def test_it_is_written_again_over_itself_but_over_nothing_else(run: Callable[..., Any], tmp_path: Path) -> None:
    assert run("course", tmp_path, limit=120).status == 0
    first = (tmp_path / "04-heads.html").read_text()
    assert run("course", tmp_path, limit=120).status == 0
    assert (tmp_path / "04-heads.html").read_text() == first
    (tmp_path / "index.html").write_text("mine")
    refused = run("course", tmp_path)
    assert refused.status == 2
    assert refused.err.count("\n") == 1
    assert "the folder is not empty" in refused.err
    assert "--force" in refused.err
    assert (tmp_path / "index.html").read_text() == "mine"
    assert run("course", tmp_path, "--force", limit=120).status == 0


@pytest.mark.usefixtures("short")
def test_what_was_edited_is_named_and_kept(run: Callable[..., Any], tmp_path: Path) -> None:
    run("course", tmp_path, limit=120)
    ours = [tmp_path / "04-heads.html", tmp_path / "notebooks/student/01-blocks.ipynb"]
    kept = [path for path in ours if path.exists()]
    for path in kept:
        path.write_text("an afternoon's work")
    refused = run("course", tmp_path)
    assert refused.status == 2
    assert refused.err.count("\n") == 1
    assert all(str(path.relative_to(tmp_path)) in refused.err for path in kept)
    assert "--force" in refused.err
    assert all(path.read_text() == "an afternoon's work" for path in kept)
    assert run("course", tmp_path, "--force", limit=120).status == 0
    assert all(path.read_text() != "an afternoon's work" for path in kept)
    assert run("course", tmp_path, limit=120).status == 0


@pytest.mark.usefixtures("short")
def test_a_pack_of_which_nothing_is_noted_is_not_replaced(run: Callable[..., Any], tmp_path: Path) -> None:
    run("course", tmp_path, limit=120)
    (tmp_path / "written.json").unlink()
    assert "were edited" in run("course", tmp_path).err


def test_a_place_that_cannot_be_written_is_one_line(run: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ran = run("course", tmp_path / "file")
    assert ran.status == 2
    assert ran.err.count("\n") == 1
    assert "Traceback" not in ran.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_locked_is_one_line(run: Callable[..., Any], tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    ran = run("course", tmp_path / "pack")
    assert ran.status == 2
    assert "cannot be written" in ran.err


@pytest.mark.usefixtures("short")
def test_without_nbformat_there_are_pages_and_a_line(
    run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pack, "available", lambda: False)
    ran = run("course", tmp_path / "pack", limit=120)
    assert ran.status == 0
    assert 'pip install "growproof[course]"' in ran.out
    assert not (tmp_path / "pack" / "notebooks").exists()
    assert (tmp_path / "pack" / "index.html").exists()


def test_starting_the_command_line_does_not_load_the_course() -> None:
    code = "import sys, growproof.reports.cli; print([name for name in sys.modules if '.course' in name])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
