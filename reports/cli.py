"""The command line, `growproof COMMAND`: arguments, exit status, and where each command is."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from ..symbolic.errors import VariantError

PROVED, REFUTED, UNUSABLE, UNDECIDED = range(4)
EXIT = {"proved": PROVED, "refuted": REFUTED, "undecided": UNDECIDED}
INTERRUPTED = 130


class Parser(argparse.ArgumentParser):
    """Wrong arguments are one line and exit status 2, like every other wrong input."""

    def error(self, message: str) -> NoReturn:
        raise VariantError(message, expected=f"see {self.prog} --help")


def parser() -> Parser:
    top = Parser(prog="growproof", description="Prove that a transformer can grow without changing its function.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)

    def command(name: str, run: Callable[[argparse.Namespace], int], text: str) -> Parser:
        found = commands.add_parser(name, help=text, description=text)
        found.set_defaults(run=run)
        found.add_argument("--json", action="store_true", help="print JSON, and nothing else, on standard output")
        found.add_argument("--quiet", action="store_true", help="print no more than errors")
        return found

    report = command("report", run_report, "prove and check the paper's six expansions; write one HTML file")
    report.add_argument("-o", "--output", type=Path, default=Path("growproof-report.html"), metavar="FILE")
    report.add_argument("--seed", type=seed, default=0)
    report.add_argument("--all", action="store_true", help="on every architecture too, and the variants of the zoo")
    check = command("check", run_check, "prove or refute a variant, or the composition of several in that order")
    check.add_argument(
        "variants",
        nargs="+",
        metavar="VARIANT",
        help="a catalogue name, a .toml file, or package.module:object, which imports (and so runs) that module",
    )
    check.add_argument("--architecture", metavar="PRESET")
    check.add_argument("--html", type=Path, metavar="FILE")
    check.add_argument("--certificate", type=Path, metavar="FILE")
    check.add_argument("--repairs", type=Path, metavar="DIR", help="write every repaired variant as a file in DIR")
    check.add_argument("--seed", type=seed, default=0)
    study = command("constraints", run_constraints, "what the initialiser of a variant may do, and what learns")
    study.add_argument("variant", metavar="VARIANT", help="a catalogue name or a .toml file")
    study.add_argument("--architecture", metavar="PRESET")
    study.add_argument("--html", type=Path, metavar="FILE")
    study.add_argument("--seed", type=seed, default=0)
    study.add_argument(
        "--vocabulary",
        type=vocabulary,
        default=("zero",),
        metavar="WORDS",
        help="what a new block may be: zero, equal, opposite, multiple, separated by commas (default: zero)",
    )
    study.add_argument("--limit", type=seed, metavar="N", help="look at no more than N sets of choices")
    study.add_argument("--seconds", type=seconds, metavar="S", help="stop looking after S seconds")
    study.add_argument("--resume", type=Path, metavar="FILE", help="keep what is found in FILE, and go on from there")
    study.add_argument("--smt", type=Path, metavar="DIR", help="write every query to z3 as SMT-LIB 2")
    study.add_argument("--cross-check", action="store_true", help="put every query to cvc5 too (an extra)")
    table = command("matrix", run_matrix, "which expansions hold on which architectures, what breaks them, and repairs")
    table.add_argument("--architecture", action="append", metavar="PRESET", help="only this one (may be given again)")
    table.add_argument("--expansion", action="append", metavar="VARIANT", help="only this one (may be given again)")
    table.add_argument("--html", type=Path, metavar="FILE")
    table.add_argument("--repairs", type=Path, metavar="DIR", help="write every repaired variant as a file in DIR")
    table.add_argument("--seed", type=seed, default=0)
    fuzz = command("fuzz", run_fuzz, "check random variants and attack every answer: a test of growproof itself")
    fuzz.add_argument("--count", type=positive, default=1000, metavar="N", help="so many variants (default: 1000)")
    fuzz.add_argument("--seed", type=seed, default=0)
    fuzz.add_argument("--resume", type=Path, metavar="FILE", help="keep what is done in FILE, and go on from there")
    fuzz.add_argument("--failures", type=Path, metavar="DIR", help="where failing variants go (growproof-failures)")
    fuzz.add_argument("--jobs", type=jobs, default=-1, metavar="N", help="processes (default: one for every core)")
    fuzz.add_argument("--backend", default="loky", metavar="NAME", help="of joblib: loky, multiprocessing, dask, ray")
    fuzz.add_argument("--scheduler", metavar="ADDRESS", help="of the cluster; without it this machine is one")
    verify = command("verify", run_verify, "re-check a certificate, or all those in a report")
    verify.add_argument("file", type=Path, metavar="FILE")
    course = command("course", run_course, "write the course: lessons as pages, handouts and notebooks")
    course.add_argument("folder", type=Path, metavar="DIR")
    course.add_argument("--force", action="store_true", help="replace what was edited, and write beside other files")
    command("list", run_list, "the catalogue and the architectures")
    docs = command("docs", run_docs, "write the documentation as one HTML file")
    docs.add_argument("-o", "--output", type=Path, default=Path("growproof-docs.html"), metavar="FILE")
    serve = command("serve", run_serve, "a local page on which one edits a variant and sees its answer")
    serve.add_argument("--host", default="127.0.0.1", help="where to listen (default: this machine only)")
    serve.add_argument("--port", type=port, default=8000, help="the port; 0 picks one (default: 8000)")
    serve.add_argument("--course", type=Path, metavar="DIR", help="serve a course too, without what is the lecturer's")
    serve.add_argument("--no-browser", action="store_true", help="open no browser; one is opened only at a terminal")
    new = command("new", run_new, "write a commented starting file for a variant of your own")
    new.add_argument("file", type=Path, metavar="FILE")
    what = new.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--grows", action="append", metavar="SIZE", help="a size that grows: h, p, k or v (again for more)"
    )
    what.add_argument("--adds", choices=("head", "layer"), help="a head in every layer, or a layer")
    new.add_argument("--architecture", default="paper", metavar="PRESET")
    new.add_argument("--force", action="store_true", help="replace a file that is there")
    return top


def seed(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"found {text}, expected a number from 0")
    return value


def positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"found {text}, expected a number from 1")
    return value


def jobs(text: str) -> int:
    value = int(text)
    if value < 1 and value != -1:
        raise argparse.ArgumentTypeError(f"found {text}, expected a number from 1, or -1 for every core")
    return value


def port(text: str) -> int:
    value = int(text)
    if not 0 <= value < 2**16:
        raise argparse.ArgumentTypeError(f"found {text}, expected a port from 0 to 65535")
    return value


def seconds(text: str) -> float:
    value = float(text)
    if not value >= 0:
        raise argparse.ArgumentTypeError(f"found {text}, expected a number from 0")
    return value


def vocabulary(text: str) -> tuple[str, ...]:
    from ..proofs.choices import VOCABULARY

    words = tuple(dict.fromkeys(word.strip() for word in text.split(",")))
    for word in words:
        if word not in VOCABULARY:
            raise argparse.ArgumentTypeError(f"found {word!r}, expected some of {', '.join(VOCABULARY)}")
    return words


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status: 0 proved, 1 refuted or failed, 2 unusable input, 3 undecided."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    prepare_streams()
    try:
        try:
            chosen = parser().parse_args(given)
            status: int = chosen.run(chosen)
        except VariantError as error:
            status = UNUSABLE
            if "--json" in given:
                print(json.dumps({"error": error.as_json()}))
            else:
                print(f"growproof: {error}", file=sys.stderr)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        print("growproof: interrupted; nothing unfinished was written", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        discard_output()
        return UNUSABLE
    except OSError as error:
        discard_output()
        print(f"growproof: the output cannot be written; found {error.strerror}", file=sys.stderr)
        return UNUSABLE


def prepare_streams() -> None:
    """A terminal that cannot show a name still gets an answer, and a closed output swallows it."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def discard_output() -> None:
    """What is still to be written when the interpreter ends goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def progress(chosen: argparse.Namespace) -> Callable[[str], None]:
    """Says on standard error what is being done, when that is a terminal."""
    silent = chosen.quiet or not sys.stderr.isatty()
    return (lambda text: None) if silent else (lambda text: print(f"growproof: {text}", file=sys.stderr))


def show(chosen: argparse.Namespace, found: dict[str, Any], lines: Sequence[str]) -> None:
    if chosen.json:
        print(json.dumps(found, indent=1, ensure_ascii=False))
    elif not chosen.quiet:
        print("\n".join(lines))


# ---------------------------------------------------------------- commands


def run_report(chosen: argparse.Namespace) -> int:
    from ..proofs.statement import plain
    from ..symbolic.architecture import PRESETS
    from ..symbolic.variant import load, zoo
    from .report import report_json, write_report

    architectures = tuple(PRESETS.values()) if chosen.all else ()
    others = {name: load(name) for name in zoo()} if chosen.all else {}
    report = write_report(chosen.output, chosen.seed, progress(chosen), architectures, others)
    lines = [f"{one.answer.verdict}: {one.answer.variants[0].name}" for one in report.six]
    lines.append(f"{report.together.verdict}: all six, one after the other")
    lines += [f"finding: {plain(found.title)}" for found in report.findings]
    lines.append(f"wrote {chosen.output} in {report.seconds:.1f} s")
    show(chosen, report_json(report), lines)
    return PROVED if report.decided else REFUTED


def run_check(chosen: argparse.Namespace) -> int:
    from ..api import check
    from .answers import answer_json, answer_text
    from .files import folder
    from .initialiser import liveness_text
    from .outputs import outputs, save_repairs

    start = time.perf_counter()
    with outputs(chosen.html, chosen.certificate, chosen.variants) as write:
        if chosen.repairs is not None:
            folder(chosen.repairs)
        answer = check(*chosen.variants, architecture=chosen.architecture, seed=chosen.seed)
        found = answer.remarks
        seconds = time.perf_counter() - start
        write(answer, found, seconds, chosen.seed)
    notes = [*answer_text(answer, found), *(liveness_text(found.learns) if found.learns is not None else ())]
    if chosen.certificate is not None and answer.verdict != "proved":
        notes.append(f"  no certificate was written: there is none for what is {answer.verdict}")
    if chosen.repairs is not None:
        notes += [f"  wrote {path}" for path in save_repairs(answer.repairs, answer.variants[0], chosen.repairs)]
    show(chosen, answer_json(answer, found, seconds) if chosen.json else {}, notes)
    return EXIT[answer.verdict]


def run_constraints(chosen: argparse.Namespace) -> int:
    from .study import run

    start = time.perf_counter()
    found = run(chosen, progress(chosen))
    show(chosen, found.json(time.perf_counter() - start), found.lines())
    return found.status


def run_matrix(chosen: argparse.Namespace) -> int:
    from .matrix import matrix_json, matrix_text, run

    found = run(chosen, progress(chosen))
    show(chosen, matrix_json(found) if chosen.json else {}, [] if chosen.json else list(matrix_text(found)))
    return PROVED if found.decided else UNDECIDED


def run_fuzz(chosen: argparse.Namespace) -> int:
    from .fuzz import fuzz_json, fuzz_text, run

    found = run(chosen, progress(chosen))
    show(chosen, fuzz_json(found) if chosen.json else {}, [] if chosen.json else list(fuzz_text(found)))
    if not found.whole:
        return INTERRUPTED
    return PROVED if found.sound else REFUTED


def run_verify(chosen: argparse.Namespace) -> int:
    from .verification import verify_file

    results = verify_file(chosen.file)
    lines = [line for result in results for line in result.lines()]
    show(chosen, {"certificates": [result.as_json() for result in results]}, lines)
    return PROVED if all(result.error is None for result in results) else REFUTED


def run_course(chosen: argparse.Namespace) -> int:
    from .course.pack import GET_NOTEBOOKS, write_pack

    pack = write_pack(chosen.folder, chosen.force, progress(chosen))
    lines = [f"wrote {len(pack.files)} files in {pack.seconds:.1f} s; open {chosen.folder / 'index.html'}"]
    lines.append(f"for the lecturer, with solutions: {chosen.folder / 'lecturer.html'}")
    lines += [] if pack.notebooks else [GET_NOTEBOOKS]
    show(chosen, {"files": list(pack.files), "notebooks": pack.notebooks, "seconds": round(pack.seconds, 3)}, lines)
    return PROVED


def run_list(chosen: argparse.Namespace) -> int:
    from ..symbolic.architecture import PRESETS
    from ..symbolic.variant import SIX, load, zoo

    six, others = ({name: load(name) for name in names} for names in (SIX, zoo()))
    lines: list[str] = []
    for title, variants in (("the paper's six", six), ("the zoo", others)):
        lines += [title, *(f"  {name:37}{one.verdict:11}{one.source}" for name, one in variants.items())]
    lines += ["architectures", *(f"  {preset.name:37}{preset.description}" for preset in PRESETS.values())]
    found = {
        "variants": [
            {
                "name": name,
                "title": variant.name,
                "source": variant.source,
                "architecture": variant.architecture,
                "verdict": variant.verdict,
                "reason": variant.reason,
            }
            for name, variant in {**six, **others}.items()
        ],
        "architectures": [{"name": p.name, "description": p.description} for p in PRESETS.values()],
    }
    show(chosen, found, lines)
    return PROVED


def run_docs(chosen: argparse.Namespace) -> int:
    from .docs import render
    from .files import written

    with written(chosen.output) as parts:
        parts.append(render())
    show(chosen, {"file": str(chosen.output)}, [f"wrote {chosen.output}"])
    return PROVED


def run_new(chosen: argparse.Namespace) -> int:
    from ..proofs.check import preset_named
    from .scaffold import Start, growing, new_file

    preset = preset_named(chosen.architecture)
    start = growing(chosen.grows, preset) if chosen.adds is None else Start(preset, adds=chosen.adds)
    text = new_file(chosen.file, start, chosen.force)
    lines = [f"wrote {chosen.file}; next: growproof check {chosen.file}"]
    show(chosen, {"file": str(chosen.file), "text": text}, lines)
    return PROVED


def run_serve(chosen: argparse.Namespace) -> int:
    try:
        from .workbench.guard import is_local
        from .workbench.serving import serve
    except ImportError as error:
        extra = 'pip install "growproof[serve]"'
        raise VariantError("a package of the workbench is missing", found=f"no {error.name}", expected=extra) from None

    def announce(address: str) -> None:
        if not is_local(chosen.host):
            warning = "every machine that reaches this one can use the workbench, and read the course"
            print(f"growproof: warning: {warning}", file=sys.stderr)
        places = {"address": address} if chosen.course is None else {"address": address, "course": f"{address}course/"}
        lines = [f"growproof workbench: {address} (Ctrl-C stops it)"]
        show(chosen, places, [*lines, *(f"growproof course: {places[key]}" for key in places if key == "course")])
        sys.stdout.flush()
        if sys.stdout.isatty() and not chosen.no_browser:
            open_browser(address)

    serve(chosen.host, chosen.port, chosen.course, announce)
    return PROVED


def open_browser(address: str) -> None:
    """In a thread of its own, for a browser that shows itself in the terminal returns when it is left."""
    import threading
    import webbrowser

    threading.Thread(target=webbrowser.open, args=[address], daemon=True).start()
