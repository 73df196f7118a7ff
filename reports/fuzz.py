"""The command `fuzz`: a soundness campaign on all cores or on a cluster, that can be interrupted and goes on.

Which cases there are follows from the seed alone; how many processes look at them, and in which order, changes nothing.
"""

from __future__ import annotations

import json
import logging
import signal
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from ..proofs.campaign import FAILURES, VERDICTS, Judgement, Outcome, deck, outcomes
from ..symbolic.errors import VariantError
from .files import distinct, written
from .matrix import folder

Say = Callable[[str], None]
Json = dict[str, Any]
Settings = Mapping[str, Any]

BATCH = 8  # cases that a process takes at a time
ROUND = 4  # batches for each process, where they come all at once
PAUSE = 3.0  # seconds between two notes
REACHED = 5  # seconds in which a scheduler must answer
UNUSUAL = 20  # undecided cases that the text lists
FOLDER = Path("growproof-failures")


# ---------------------------------------------------------------- the command


@dataclass(frozen=True)
class Campaign:
    """The outcomes of the cases from 0 to `count` that are done, by their numbers."""

    seed: int
    count: int
    outcomes: Mapping[int, Outcome]
    seconds: float = field(compare=False)
    files: Sequence[Path] = field(default=(), compare=False)

    @property
    def whole(self) -> bool:
        return len(self.outcomes) == self.count

    @property
    def sound(self) -> bool:
        return not any(self.failed(failure) for failure in FAILURES)

    def failed(self, failure: str) -> list[Outcome]:
        return [one for one in self.outcomes.values() if one.judgement.failure == failure]

    def verdict(self, verdict: str) -> list[Outcome]:
        return [one for one in self.outcomes.values() if one.judgement.verdict == verdict]

    @property
    def unattacked(self) -> list[Outcome]:
        return [one for one in self.verdict("proved") if not one.judgement.attacks]


def run(chosen: Namespace, say: Say) -> Campaign:
    """Judge every case that the notes do not hold; what is done when the user interrupts is kept.

    Raises VariantError for what cannot be used, before the work begins.
    """
    start = time.perf_counter()
    distinct({"--resume": chosen.resume, "--failures": chosen.failures})
    if chosen.failures is not None:
        folder(chosen.failures)
    notes = Notes(chosen.resume, chosen.seed)
    done = notes.read()
    missing = [i for i in range(chosen.count) if i not in done]
    with ExitStack() as stack:
        settings = stack.enter_context(backend(chosen.backend, chosen.scheduler, chosen.jobs)) if missing else {}
        notes.write(done)
        try:
            for found in finished(chosen.seed, missing, chosen.jobs, settings):
                done |= {one.index: one for one in found}
                if notes.due():
                    notes.write(done)
                    say(progress_text(done, chosen.count, len(missing), time.perf_counter() - start))
        except KeyboardInterrupt:
            say("interrupted")
        except Exception as error:  # of joblib or a cluster; what a case raises is part of its outcome
            notes.write(done)
            raise ended(error) from error
        notes.write(done)
    here = {i: done[i] for i in sorted(done) if i < chosen.count}
    files = [file for one in here.values() if one.judgement.failure for file in saved(one, chosen)]
    return Campaign(chosen.seed, chosen.count, here, time.perf_counter() - start, files)


def ended(error: Exception) -> VariantError:
    """What to say of workers that are gone."""
    expected = "the same command again; with --resume it goes on"
    return VariantError("the work came to an end", found=f"{type(error).__name__}: {error}", expected=expected)


def finished(seed: int, indices: Sequence[int], jobs: int, settings: Settings) -> Iterator[list[Outcome]]:
    """The outcomes of cases, batch by batch, in the order in which they are done."""
    from joblib import Parallel, delayed, effective_n_jobs, parallel_config

    work = (delayed(outcomes)(seed, indices[i : i + BATCH]) for i in range(0, len(indices), BATCH))
    with parallel_config(n_jobs=jobs, **settings):
        try:
            parallel = Parallel(return_as="generator_unordered")
        except ValueError:  # a backend that gives nothing before everything is done: many times a little
            with Parallel() as parallel:
                while some := list(islice(work, ROUND * effective_n_jobs())):
                    yield from parallel(some)
        else:
            yield from parallel(work)


def saved(one: Outcome, chosen: Namespace) -> list[Path]:
    """The variants of a failing case as files, with what is to be known to see it again."""
    place = chosen.failures or FOLDER
    folder(place)
    names = [
        f"case-{chosen.seed}-{one.index}" + (f"-{i}" if len(one.texts) > 1 else "")
        for i in range(1, len(one.texts) + 1)
    ]
    notes = [
        f"{one.judgement.failure}: {one.judgement.detail.strip().splitlines()[-1]}",
        f"case {one.index} of `growproof fuzz --seed {chosen.seed}`, made as small as it goes: {one.kind} ({one.how})",
        "growproof check " + " ".join(f"{name}.toml" for name in names),
    ]
    for name, text in zip(names, one.texts, strict=True):
        with written(place / f"{name}.toml") as parts:
            parts.append("".join(f"# {note}\n" for note in notes) + text)
    return [place / f"{name}.toml" for name in names]


# ---------------------------------------------------------------- where the work is done


@contextmanager
def backend(name: str, scheduler: str | None, jobs: int) -> Iterator[Settings]:
    """What joblib has to be told about a backend.  Raises VariantError for one that cannot be used."""
    if scheduler is not None and name not in CLUSTERS:
        raise VariantError("only a cluster has a scheduler", found=f"--backend {name}", expected="--backend dask")
    if name in CLUSTERS:
        with CLUSTERS[name](scheduler, jobs) as settings:
            yield {"backend": name, **settings}
    elif name in PROCESSES:
        yield {"backend": name, "initializer": leave_interrupts_to_the_command}
    else:
        known = ", ".join((*PROCESSES, *CLUSTERS))
        raise VariantError("there is no such backend", found=name, expected=f"one of {known}")


PROCESSES = ("loky", "multiprocessing")


def leave_interrupts_to_the_command() -> None:
    """Ctrl-C reaches every process of a terminal; those that work for another let it decide."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def dask(scheduler: str | None, jobs: int) -> Iterator[Settings]:
    """A Dask cluster: the one of that address, or else processes of this machine."""
    try:
        from dask import distributed
    except ImportError:
        raise VariantError("Dask is not installed", expected='pip install "growproof[dask]"') from None
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    connect: Any = distributed.Client
    here = {"n_workers": jobs if jobs > 0 else None, "threads_per_worker": 1, "dashboard_address": None}
    here |= {"silence_logs": logging.CRITICAL}
    try:
        client = connect(**here) if scheduler is None else connect(scheduler, timeout=REACHED)
    except (OSError, ValueError) as error:
        raise unreachable(scheduler, error) from None
    with client:
        if scheduler is None:
            client.run(leave_interrupts_to_the_command)
        yield {"client": client}


@contextmanager
def ray(scheduler: str | None, jobs: int) -> Iterator[Settings]:
    """A Ray cluster: the one of that address, or else processes of this machine."""
    try:
        import ray as cluster
        from ray.util.joblib import register_ray
    except ImportError:
        raise VariantError("Ray is not installed", expected="pip install ray") from None
    try:
        cluster.init(address=scheduler, log_to_driver=False)
    except (OSError, ValueError) as error:
        raise unreachable(scheduler, error) from None
    register_ray()
    try:
        yield {}
    finally:
        cluster.shutdown()


def unreachable(scheduler: str | None, error: Exception) -> VariantError:
    reason = str(error) or type(error).__name__
    return VariantError("the scheduler cannot be reached", found=f"{scheduler}: {reason}", expected="its address")


CLUSTERS = {"dask": dask, "ray": ray}


# ---------------------------------------------------------------- notes to resume from


@dataclass
class Notes:
    """The outcomes so far, in a file that names the cases that they are about; no file: nothing is kept."""

    path: Path | None
    seed: int
    next_time: float = 0.0

    @property
    def about(self) -> Json:
        return {"format": "growproof fuzz 1", "seed": self.seed, "deck": deck()}

    def read(self) -> dict[int, Outcome]:
        """What the file holds.  Raises VariantError for notes on something else."""
        if self.path is None or not self.path.exists():
            return {}
        if not self.path.is_file():
            raise VariantError("the notes cannot be read", str(self.path), found="no regular file", expected="a file")
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
            about = {key: found[key] for key in self.about}
            done = [outcome_of(row) for row in found["outcomes"]] if about == self.about else []
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            reason = str(error) or type(error).__name__
            raise VariantError("the notes cannot be read", str(self.path), found=reason) from None
        for key, value in self.about.items():
            if about[key] != value:
                what = "catalogue" if key == "deck" else key
                raise VariantError(
                    f"the notes are of another {what}", str(self.path), found=str(about[key]), expected=str(value)
                )
        return {one.index: one for one in done}

    def write(self, done: Mapping[int, Outcome]) -> None:
        start = time.monotonic()
        if self.path is not None:
            with written(self.path) as parts:
                parts.append(json.dumps({**self.about, "outcomes": [asdict(done[i]) for i in sorted(done)]}) + "\n")
        self.next_time = time.monotonic() + max(PAUSE, 20 * (time.monotonic() - start))

    def due(self) -> bool:
        """Whether it is time to write again."""
        return time.monotonic() > self.next_time


def outcome_of(row: Json) -> Outcome:
    """An outcome as notes have it.  Raises ValueError, TypeError or KeyError for anything else."""
    judgement = Judgement(**row["judgement"])
    found = Outcome(**{**row, "judgement": judgement, "texts": tuple(row["texts"])})
    numbers = (found.index, found.refused, judgement.attacks)
    words = (found.kind, found.how, found.architecture, judgement.detail, *found.texts)
    if not all(type(n) is int and n >= 0 for n in numbers) or not all(type(word) is str for word in words):
        raise ValueError(f"{row} is no outcome")
    if judgement.verdict not in VERDICTS or judgement.failure not in ("", *FAILURES):
        raise ValueError(f"{row['judgement']} is no judgement")
    return found


# ---------------------------------------------------------------- what is said


def progress_text(done: Mapping[int, Outcome], count: int, missing: int, seconds: float) -> str:
    """How far it is, and how fast.

    >>> progress_text({}, 100, 100, 1.0)
    '0 of 100 cases, 0.0 a second'
    """
    here = sum(i < count for i in done)
    speed = (here - count + missing) / seconds
    failed = sum(bool(one.judgement.failure) for one in done.values())
    return f"{here} of {count} cases, {speed:.1f} a second" + (f", {failed} FAILED" if failed else "")


def fuzz_json(found: Campaign) -> Json:
    """The fields of `fuzz --json`; `count` is of the cases that were judged."""
    failures = [one for one in found.outcomes.values() if one.judgement.failure]
    return {
        "count": len(found.outcomes),
        **{verdict: len(found.verdict(verdict)) for verdict in VERDICTS if verdict != "crash"},
        **{plural(failure).replace(" ", "_"): len(found.failed(failure)) for failure in FAILURES},
        "seconds": round(found.seconds, 3),
        "seed": found.seed,
        "whole": found.whole,
        "attacks": sum(one.judgement.attacks for one in found.outcomes.values()),
        "unattacked": len(found.unattacked),
        "refused_draws": sum(one.refused for one in found.outcomes.values()),
        "kinds": {kind: dict(counts) for kind, counts in kinds(found).items()},
        "failures": [case_json(one) for one in failures],
        "undecided_cases": [case_json(one) for one in found.verdict("undecided")],
        "files": [str(file) for file in found.files],
    }


def plural(failure: str) -> str:
    """
    >>> [plural(failure) for failure in FAILURES]
    ['false proofs', 'unreplayed refutations', 'refuted though true', 'crashes']
    """
    return failure if "true" in failure else failure + ("es" if failure.endswith("sh") else "s")


def case_json(one: Outcome) -> Json:
    found = {"case": one.index, "kind": one.kind, "how": one.how, "architecture": one.architecture}
    return {**found, "failure": one.judgement.failure, "detail": one.judgement.detail, "variants": list(one.texts)}


def kinds(found: Campaign) -> dict[str, Counter[str]]:
    """How many cases of each kind came out how."""
    counts: dict[str, Counter[str]] = {
        kind: Counter() for kind in sorted({one.kind for one in found.outcomes.values()})
    }
    for one in found.outcomes.values():
        counts[one.kind][one.judgement.verdict] += 1
    return counts


def fuzz_text(found: Campaign) -> Iterator[str]:
    """The table, what the attacks found, and every failing case."""
    rows = [(kind, counts) for kind, counts in kinds(found).items()]
    rows += [("all", sum((counts for _, counts in rows), Counter()))]
    width = max(len(kind) for kind, _ in rows)
    yield f"{'':{width}}" + "".join(f"{verdict:>11}" for verdict in VERDICTS)
    for kind, counts in rows:
        yield f"{kind:{width}}" + "".join(f"{counts[verdict]:>11}" for verdict in VERDICTS)
    yield ""
    shown = fuzz_json(found)
    alone = f", but {shown['unattacked']} proofs met none" if shown["unattacked"] else ""
    yield f"{shown['attacks']} random models attacked the {shown['proved']} proofs{alone}"
    yield from (f"{plural(failure)}: {len(found.failed(failure))}" for failure in FAILURES)
    undecided = [one.index for one in found.verdict("undecided")]
    if undecided:
        more = f" and {len(undecided) - UNUSUAL} more" if len(undecided) > UNUSUAL else ""
        yield f"undecided: cases {', '.join(map(str, undecided[:UNUSUAL]))}{more}"
    for one in (one for one in found.outcomes.values() if one.judgement.failure):
        yield f"case {one.index}, {one.kind}: {one.judgement.failure}; {one.judgement.detail.strip().splitlines()[-1]}"
    yield from (f"wrote {file}" for file in found.files)
    speed = f"{len(found.outcomes)} cases of seed {found.seed} in {found.seconds:.1f} s"
    yield speed if found.whole else f"interrupted: {speed}, of {found.count}"
