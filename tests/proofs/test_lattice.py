"""Every subset sorted, with few questions: compared with asking about each one."""

from dataclasses import dataclass, replace
from itertools import combinations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from growproof.proofs import lattice
from growproof.proofs.lattice import CoverageError, Limits, Sorted, check_coverage, enumerate_subsets

SORTS = ("sufficient", "insufficient", "undecided", "unsatisfiable")


def subsets(count):
    return [frozenset(chosen) for size in range(count + 1) for chosen in combinations(range(count), size)]


# --- oracles that a truth may give ---


@dataclass
class Truth:
    """What is true of each subset, and the questions that were asked about it, in order.

    A set that holds one of `never` is contradictory, else with one of `up` sufficient, else with one of `open`
    undecided; the rest is insufficient.
    """

    count: int
    up: tuple[frozenset[int], ...]
    never: tuple[frozenset[int], ...] = ()
    open: tuple[frozenset[int], ...] = ()

    def __post_init__(self):
        self.asked = []

    def __call__(self, subset):
        self.asked.append(subset)
        return self.sort(subset)

    def sort(self, subset):
        if any(low <= subset for low in self.never):
            return "unsatisfiable"
        if any(low <= subset for low in self.up):
            return "sufficient"
        return "undecided" if any(low <= subset for low in self.open) else "insufficient"

    def sorted(self):
        """The answer by definition: each subset is asked about, then the smallest and the largest are kept."""
        groups = {sort: [s for s in subsets(self.count) if self.sort(s) == sort] for sort in SORTS}
        groups["sufficient"] = [s for s in groups["sufficient"] if not any(t < s for t in groups["sufficient"])]
        groups["unsatisfiable"] = [
            s for s in groups["unsatisfiable"] if not any(t < s for t in groups["unsatisfiable"])
        ]
        groups["insufficient"] = [s for s in groups["insufficient"] if not any(s < t for t in groups["insufficient"])]
        return {sort: set(found) for sort, found in groups.items()}


@st.composite
def truths(draw, never=True, largest=4):
    count = draw(st.integers(0, largest))
    one = st.frozensets(st.sampled_from(range(count)), max_size=count) if count else st.just(frozenset())
    some = st.lists(one, max_size=3).map(tuple)
    return Truth(count, draw(some), draw(some) if never else (), draw(some))


@st.composite
def two_sided(draw):
    """Nothing open or contradictory, and both some that suffices and some that does not."""
    count = draw(st.integers(1, 5))
    one = st.frozensets(st.sampled_from(range(count)), min_size=1)
    return Truth(count, draw(st.lists(one, min_size=1, max_size=3).map(tuple)))


def contradictions(truth):
    """What a first pass finds, which asks only whether a set can be met."""

    def met(subset):
        return "unsatisfiable" if truth.sort(subset) == "unsatisfiable" else "insufficient"

    return Sorted(truth.count, unsatisfiable=enumerate_subsets(truth.count, met).unsatisfiable)


def groups(found):
    return {sort: set(getattr(found, sort)) for sort in SORTS}


# --- complete ---


@given(truths(never=False))
def test_every_subset_is_sorted_as_asking_about_each_one_does(truth):
    found = enumerate_subsets(truth.count, truth)
    assert not found.unexplored
    assert groups(found) == truth.sorted()
    assert all(found.sort(subset) == truth.sort(subset) for subset in subsets(truth.count))


@given(truths())
def test_contradictory_subsets_are_sorted_as_such_once_they_are_known(truth):
    found = enumerate_subsets(truth.count, truth, known=contradictions(truth))
    assert groups(found) == truth.sorted()
    assert all(found.sort(subset) == truth.sort(subset) for subset in subsets(truth.count))


@given(truths())
def test_a_first_pass_finds_every_smallest_contradiction(truth):
    assert set(contradictions(truth).unsatisfiable) == truth.sorted()["unsatisfiable"]


@given(truths())
def test_without_that_pass_nothing_is_left_out_and_a_contradiction_may_only_be_called_sufficient(truth):
    """From what cannot be met everything follows."""
    found = enumerate_subsets(truth.count, truth)
    for subset in subsets(truth.count):
        assert (found.sort(subset), truth.sort(subset)) in {*zip(SORTS, SORTS, strict=True), ("sufficient", SORTS[-1])}


@given(truths(), st.data())
def test_the_subsets_asked_about_first_change_nothing_but_the_order(truth, data):
    first = data.draw(st.lists(st.sampled_from(subsets(truth.count)), max_size=3))
    known = contradictions(truth)
    found = enumerate_subsets(truth.count, truth, first=first, known=known)
    assert groups(found) == groups(enumerate_subsets(truth.count, truth, known=known))
    open_first = next((s for s in first if known.sort(s) is None), None)
    assert open_first is None or truth.asked[0] == open_first


@given(truths())
def test_no_question_is_asked_twice_and_all_are_counted(truth):
    found = enumerate_subsets(truth.count, truth)
    assert len(set(truth.asked)) == len(truth.asked) == found.questions


def test_few_questions_where_asking_about_each_would_be_many():
    """Twelve choices of which either of two suffices: 4096 subsets, of which 3 are smallest or largest."""
    truth = Truth(12, (frozenset({2}), frozenset({7})))
    found = enumerate_subsets(12, truth)
    assert set(found.sufficient) == {frozenset({2}), frozenset({7})}
    assert found.insufficient == (frozenset(range(12)) - {2, 7},)
    assert found.questions < 60


def test_no_choices_leave_one_subset():
    assert enumerate_subsets(0, Truth(0, (frozenset(),))).sufficient == (frozenset(),)
    assert enumerate_subsets(0, Truth(0, ())).insufficient == (frozenset(),)


def test_a_prover_that_fails_under_more_hypotheses_leaves_open_only_what_nothing_smaller_decides():
    """{0} suffices, so {0, 1} does; that it was not proved by itself leaves nothing undecided."""
    answers = {frozenset(): "insufficient", frozenset({1}): "insufficient", frozenset({0}): "sufficient"}
    found = enumerate_subsets(2, lambda subset: answers.get(subset, "undecided"))
    assert found.sort(frozenset({0, 1})) == "sufficient"
    assert found.undecided == ()


# --- oracles that are not what they must be ---


@given(two_sided(), st.data())
def test_an_answer_against_the_order_is_seen(truth, data):
    """One set just above a largest insufficient one, and above a sufficient one, is said to be insufficient."""
    true = truth.sorted()
    above = [(high, high | {i}) for high in true["insufficient"] for i in range(truth.count) if i not in high]
    above = [(high, wrong) for high, wrong in above if wrong not in true["sufficient"]]
    assume(above)
    high, wrong = data.draw(st.sampled_from(above))
    first = [*sorted(true["sufficient"], key=sorted), high]
    with pytest.raises(CoverageError, match="more of them are not"):
        enumerate_subsets(truth.count, lambda s: "insufficient" if s == wrong else truth(s), first=first)


def swallowing(monkeypatch, sort):
    """Answers of one sort reach the map, and are then lost."""
    whole = lattice._Search.result
    monkeypatch.setattr(lattice._Search, "result", lambda *args, **kw: replace(whole(*args, **kw), **{sort: ()}))


@pytest.mark.parametrize("sort", SORTS)
def test_a_swallowed_answer_is_seen(sort, monkeypatch):
    truth = Truth(3, up=(frozenset({0}),), never=(frozenset({1, 2}),), open=(frozenset({1}),))
    assert all(truth.sorted().values())
    swallowing(monkeypatch, sort)
    with pytest.raises(CoverageError, match="is not sorted"):
        enumerate_subsets(3, truth)


# --- results that were altered ---


@st.composite
def results(draw):
    truth = draw(truths())
    return enumerate_subsets(truth.count, truth, known=contradictions(truth))


@given(results())
def test_a_true_result_passes(found):
    check_coverage(found)


@given(results(), st.data())
def test_a_result_without_one_of_its_sets_is_refused(found, data):
    sort = data.draw(st.sampled_from([sort for sort in SORTS if getattr(found, sort)]))
    gone = data.draw(st.sampled_from(getattr(found, sort)))
    if sort == "unsatisfiable" and any(low <= gone for low in found.sufficient):
        return  # then what is left says sufficient of it, as of everything that is contradictory
    with pytest.raises(CoverageError, match="is not sorted"):
        check_coverage(replace(found, **{sort: tuple(s for s in getattr(found, sort) if s != gone)}))


@given(two_sided(), st.data())
def test_a_sufficient_set_made_smaller_is_refused(truth, data):
    """What is left of it is insufficient."""
    found = enumerate_subsets(truth.count, truth)
    low, less = data.draw(st.sampled_from([(low, low - {i}) for low in found.sufficient for i in sorted(low)]))
    with pytest.raises(CoverageError, match="more of them are not"):
        check_coverage(replace(found, sufficient=(*(s for s in found.sufficient if s != low), less)))


@given(two_sided(), st.data())
def test_an_insufficient_set_made_larger_is_refused(truth, data):
    """What it becomes is sufficient."""
    found = enumerate_subsets(truth.count, truth)
    grown = [(high, high | {i}) for high in found.insufficient for i in range(truth.count) if i not in high]
    high, more = data.draw(st.sampled_from(grown))
    with pytest.raises(CoverageError, match="more of them are not"):
        check_coverage(replace(found, insufficient=(*(s for s in found.insufficient if s != high), more)))


def test_a_set_that_was_met_by_numbers_and_cannot_be_met_is_refused():
    """Numbers meet {0, 1} and change the function, so {0} is no contradiction."""
    with pytest.raises(CoverageError):
        check_coverage(Sorted(2, insufficient=(frozenset({0, 1}),), unsatisfiable=(frozenset({0}),)))


# --- limits, and going on ---


@given(truths(), st.integers(0, 12))
def test_a_limit_leaves_the_rest_unexplored_and_lists_only_what_is_true(truth, most):
    found = enumerate_subsets(truth.count, truth, limits=Limits(questions=most))
    assert found.questions == len(truth.asked) <= most
    for sort in SORTS:
        assert all(truth.sort(subset) == sort for subset in getattr(found, sort))
    if found.unexplored:
        with pytest.raises(CoverageError):
            check_coverage(found)
    else:
        check_coverage(found)


def test_no_time_is_no_answer():
    truth = Truth(3, (frozenset({0}),))
    found = enumerate_subsets(3, truth, limits=Limits(seconds=-1))
    assert found.unexplored
    assert truth.asked == []
    assert all(found.sort(subset) is None for subset in subsets(3))


@given(truths(), st.integers(0, 12))
def test_going_on_gives_the_result_of_one_run(truth, most):
    known = contradictions(truth)
    part = enumerate_subsets(truth.count, truth, limits=Limits(questions=most), known=known)
    found = enumerate_subsets(truth.count, truth, known=part)
    assert groups(found) == groups(enumerate_subsets(truth.count, truth, known=known))


@given(truths(), st.integers(0, 12))
def test_going_on_asks_no_question_twice(truth, most):
    part = enumerate_subsets(truth.count, truth, limits=Limits(questions=most), known=contradictions(truth))
    enumerate_subsets(truth.count, truth, known=part)
    assert len(set(truth.asked)) == len(truth.asked)


@given(truths())
def test_what_is_complete_is_not_asked_about_again(truth):
    whole = enumerate_subsets(truth.count, truth, known=contradictions(truth))
    truth.asked.clear()
    assert groups(enumerate_subsets(truth.count, truth, known=whole)) == groups(whole)
    assert truth.asked == []


@given(truths(largest=3), st.integers(1, 3))
@settings(max_examples=50)
def test_one_question_at_a_time_comes_to_an_end(truth, most):
    """Every run that may ask anything gets further, so that runs with a small limit add up."""
    found = contradictions(truth)
    for _ in range(2 ** (truth.count + 1)):
        found = enumerate_subsets(truth.count, truth, limits=Limits(questions=most), known=found)
        if not found.unexplored:
            break
    assert not found.unexplored


@given(truths())
def test_everything_found_is_handed_on_as_it_grows(truth):
    kept = []
    found = enumerate_subsets(truth.count, truth, known=contradictions(truth), keep=kept.append)
    sizes = [len(one.answers) for one in kept]
    assert all(one.unexplored for one in kept)
    assert sizes == list(range(1, len(sizes) + 1))
    assert not kept or groups(kept[-1]) == groups(found)
