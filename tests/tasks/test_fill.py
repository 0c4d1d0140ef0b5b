"""The task: texts with masks in, answers out, with a small random BERT under ONNX Runtime."""

from __future__ import annotations

import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from references import fill_pipeline
from small_bert import (
    MASK,
    SPECIAL,
    TOKENS,
    halved,
    perturbed,
    small_config,
    tokenizer,
    write_model,
)

from genkit import load
from genkit.errors import InputError, UsageError
from genkit.masked import CHUNK, Query, _batches
from genkit.tasks.fill import Filler, Filling, JointFillings, Likelihood
from genkit_export.architectures.bert import Bert

torch.set_num_threads(1)

TEXTS = [
    "The [MASK] barked all night.",
    "A man is playing the [MASK] on the [MASK].",
    "[MASK]",
    "the dog [MASK] in the house, a cat was on the moon and sang all day!",
]


@pytest.fixture(scope="module")
def network() -> Bert:
    return halved(perturbed(small_config()))


@pytest.fixture(scope="module")
def folder(network: Bert, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "small", network)


@pytest.fixture(scope="module")
def filler(folder: Path) -> Filler:
    """In full precision."""
    found: Filler = load("fill", str(folder), precision="fp32", device="cpu", threads=1)
    return found


@pytest.fixture(scope="module")
def eight(folder: Path) -> Filler:
    found: Filler = load("fill", str(folder), device="cpu", threads=2)
    return found


def only(results: list[Filling | InputError]) -> Filling:
    (result,) = results
    assert isinstance(result, Filling)
    return result


@torch.no_grad()
def log_probabilities(network: Bert, row: list[int]) -> torch.Tensor:
    """Of every token at every place of a row (length, vocabulary)."""
    return network(torch.tensor([row]))[0].double().log_softmax(-1)


def ids(text: str) -> list[int]:
    """The tokens of a text in which [MASK] is a mask."""
    return tokenizer().encode(text).ids


class TestAnswers:
    @pytest.mark.parametrize("text", TEXTS)
    def test_equal_those_of_pytorch(self, filler: Filler, network: Bert, text: str) -> None:
        row = ids(text)
        found = only(filler.fill([text], top=7)).masks
        places = [i for i, token in enumerate(row) if token == MASK]
        assert len(found) == len(places)
        for answers, place in zip(found, places, strict=True):
            scores = log_probabilities(network, row)[place]
            scores[:SPECIAL] = -torch.inf
            best, tokens = scores.topk(7)
            assert [answer.text for answer in answers] == [TOKENS[t] for t in tokens.tolist()]
            assert [a.score for a in answers] == pytest.approx(best.tolist(), abs=1e-4)

    def test_equal_those_of_the_pipeline(self, filler: Filler, network: Bert) -> None:
        targets = ["dog", "cat", "moon"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = fill_pipeline(network, tokenizer())(TEXTS[0], targets=targets)
        ours = only(filler.fill([TEXTS[0]], targets=targets)).masks[0]
        assert [a.text for a in ours] == [one["token_str"] for one in theirs]
        assert [a.probability for a in ours] == pytest.approx(
            [one["score"] for one in theirs], rel=1e-4
        )

    def test_five_by_default(self, filler: Filler) -> None:
        assert len(only(filler.fill([TEXTS[0]])).masks[0]) == 5

    def test_more_than_there_are(self, filler: Filler) -> None:
        answers = only(filler.fill([TEXTS[0]], top=10_000)).masks[0]
        assert len(answers) == len(TOKENS) - SPECIAL
        assert sum(answer.probability for answer in answers) < 1

    @pytest.mark.parametrize("mask", ["[MASK]", "<mask>", "___", "______"])
    def test_a_mask_is_written_in_several_ways(self, filler: Filler, mask: str) -> None:
        expected = only(filler.fill(["The [MASK] barked."]))
        found = only(filler.fill([f"The {mask} barked."]))
        assert found == expected

    @pytest.mark.parametrize("text", ["", "No mask.", "a__b", "[mask]", "[UNK] [CLS]"])
    def test_what_is_no_mask(self, filler: Filler, text: str) -> None:
        bad, good = filler.fill([text, TEXTS[0]])
        assert isinstance(bad, InputError)
        assert "no mask" in bad.message
        assert isinstance(good, Filling)
        bad, _ = filler.fill_jointly([text, TEXTS[0]])
        assert isinstance(bad, InputError)
        with pytest.raises(InputError, match="no mask"):
            filler([text])

    def test_the_rest_of_the_text_stays_as_written(self, filler: Filler) -> None:
        found = only(filler.fill(["  Zoë's  <mask>, [SEP] ___ 猫"], targets=["moon", "Dog"]))
        first, second = found.masks
        by_text = {answer.text: answer.filled for answer in first}
        assert by_text == {
            "moon": "  Zoë's  moon, [SEP] ___ 猫",
            "Dog": "  Zoë's  Dog, [SEP] ___ 猫",
        }
        assert {a.filled for a in second} == {
            "  Zoë's  <mask>, [SEP] moon 猫",
            "  Zoë's  <mask>, [SEP] Dog 猫",
        }
        best = (first[0].text, second[0].text)
        assert found.filled == "  Zoë's  {}, [SEP] {} 猫".format(*best)
        assert filler(["Zoë's  <mask>"])[0].startswith("Zoë's  ")

    def test_a_piece_that_continues_is_put_behind_its_word(self, filler: Filler) -> None:
        answers = only(filler.fill(["play [MASK] day"], top=10_000)).masks[0]
        filled = {answer.text: answer.filled for answer in answers}
        assert filled["##ing"] == "playing day"
        assert filled["dog"] == "play dog day"

    def test_special_tokens_in_a_text_are_text(self, filler: Filler) -> None:
        plain = only(filler.fill(["the [SEP] [MASK]"])).masks[0]
        spelled = only(filler.fill(["the [ sep ] [MASK]"])).masks[0]
        assert [(a.text, a.score) for a in plain] == [(a.text, a.score) for a in spelled]

    def test_no_texts(self, filler: Filler) -> None:
        assert filler([]) == filler.fill([]) == filler.fill_jointly([]) == filler.score([]) == []

    def test_one_string_is_a_mistake(self, filler: Filler) -> None:
        with pytest.raises(TypeError, match="list of strings"):
            filler("The [MASK].")


class TestTargets:
    def test_of_several_pieces_are_filled_from_the_left(
        self, filler: Filler, network: Bert
    ) -> None:
        target = "dogs"
        pieces = ids(target)[1:-1]
        assert [TOKENS[i] for i in pieces] == ["dog", "##s"]
        row = ids("The [MASK] [MASK] barked.")
        first, second = (i for i, token in enumerate(row) if token == MASK)
        expected = log_probabilities(network, row)[first, pieces[0]]
        row[first] = pieces[0]
        expected += log_probabilities(network, row)[second, pieces[1]]
        (answer,) = only(filler.fill(["The [MASK] barked."], targets=[target])).masks[0]
        assert answer.score == pytest.approx(float(expected), abs=1e-4)
        assert answer.filled == "The dogs barked."

    def test_long_and_short_ones_are_ranked_together(self, filler: Filler) -> None:
        targets = ["dog", "playing piano", "cats", "moon", "xyz"]
        text = "The [MASK] and the [MASK]."
        for answers in only(filler.fill([text], targets=targets)).masks:
            assert sorted(answer.text for answer in answers) == sorted(targets)
            scores = [answer.score for answer in answers]
            assert scores == sorted(scores, reverse=True)
        alone = [only(filler.fill([text], targets=[t])).masks[1][0].score for t in targets]
        together = {a.text: a.score for a in only(filler.fill([text], targets=targets)).masks[1]}
        assert [together[t] for t in targets] == pytest.approx(alone, abs=1e-5)

    def test_top_leaves_the_best(self, filler: Filler) -> None:
        targets = ["dog", "cat", "moon"]
        every = only(filler.fill([TEXTS[0]], targets=targets)).masks[0]
        assert only(filler.fill([TEXTS[0]], targets=targets, top=2)).masks[0] == every[:2]

    @pytest.mark.parametrize("target", ["", "  ", "猫", "[UNK]猫"])
    def test_that_cannot_be_spelled_are_refused(self, filler: Filler, target: str) -> None:
        with pytest.raises(UsageError, match="cannot spell"):
            filler.fill([TEXTS[0]], targets=["dog", target])

    def test_that_are_too_long_are_refused(self, filler: Filler) -> None:
        with pytest.raises(UsageError, match="more than 46 tokens"):
            filler.fill([TEXTS[0]], targets=["dog " * 47])


class TestJoint:
    @pytest.mark.parametrize("text", ["The [MASK] barked [MASK] night.", "[MASK] [MASK]"])
    def test_two_masks_are_filled_best_first(
        self, filler: Filler, network: Bert, text: str
    ) -> None:
        row = ids(text)
        places = [i for i, token in enumerate(row) if token == MASK]

        def best(row: list[int], place: int) -> list[tuple[float, int]]:
            scores = log_probabilities(network, row)[place]
            scores[:SPECIAL] = -torch.inf
            values, tokens = scores.topk(8)
            return list(zip(values.tolist(), tokens.tolist(), strict=True))

        first = max(places, key=lambda place: best(row, place)[0][0])
        (last,) = set(places) - {first}
        ways = []
        for one, token in best(row, first):
            begun = [token if i == first else other for i, other in enumerate(row)]
            ways += [(one + two, {first: token, last: t}) for two, t in best(begun, last)]
        ways.sort(key=lambda way: -way[0])

        (found,) = filler.fill_jointly([text], top=5)
        assert isinstance(found, JointFillings)
        assert [f.score for f in found.fillings] == pytest.approx(
            [score for score, _ in ways[:5]], abs=1e-4
        )
        assert [f.answers for f in found.fillings] == [
            tuple(TOKENS[tokens[place]] for place in places) for _, tokens in ways[:5]
        ]

    def test_one_mask_gives_what_it_gives_alone(self, filler: Filler) -> None:
        (found,) = filler.fill_jointly([TEXTS[0]], top=4)
        assert isinstance(found, JointFillings)
        alone = only(filler.fill([TEXTS[0]], top=4)).masks[0]
        assert [f.filled for f in found.fillings] == [answer.filled for answer in alone]
        assert [f.score for f in found.fillings] == pytest.approx([a.score for a in alone])

    def test_texts_of_different_counts_of_masks(self, filler: Filler) -> None:
        texts = ["[MASK] the [MASK] is [MASK]", *TEXTS]
        together = filler.fill_jointly(texts)
        assert together == [one for text in texts for one in filler.fill_jointly([text])]

    def test_many_masks_are_all_different_ways(self, filler: Filler) -> None:
        (found,) = filler.fill_jointly(["[MASK] " * 6], top=12)
        assert isinstance(found, JointFillings)
        assert len({f.answers for f in found.fillings}) == 12
        scores = [f.score for f in found.fillings]
        assert scores == sorted(scores, reverse=True)

    def test_masks_too_far_apart(self, filler: Filler) -> None:
        far, near = filler.fill_jointly(
            ["[MASK] " + "dog " * 46 + "[MASK]", "cat " * 60 + "[MASK] " + "dog " * 44 + "[MASK]"]
        )
        assert isinstance(far, InputError)
        assert "46 tokens apart" in far.message
        assert isinstance(near, JointFillings)
        assert near.windowed


class TestScore:
    @pytest.mark.parametrize("text", ["The dog barked all night.", "zebra", "a man, a cat"])
    def test_is_the_sum_over_tokens_each_masked(
        self, filler: Filler, network: Bert, text: str
    ) -> None:
        row = ids(text)
        expected = 0.0
        for i in range(1, len(row) - 1):
            masked = [MASK if i == j else token for j, token in enumerate(row)]
            expected += float(log_probabilities(network, masked)[i, row[i]])
        (found,) = filler.score([text])
        assert found.score == pytest.approx(expected, abs=1e-4)
        assert found.tokens == len(row) - 2
        assert found.perplexity == pytest.approx(np.exp(-expected / found.tokens), rel=1e-4)

    def test_nothing_is_certain(self, filler: Filler) -> None:
        (found,) = filler.score(["  "])
        assert (found.score, found.tokens, found.perplexity) == (0, 0, None)

    def test_a_mask_is_seen_and_not_counted(self, filler: Filler) -> None:
        (found,) = filler.score(["the [MASK] barked"])
        assert found.tokens == 2

    def test_what_the_model_cannot_spell_still_counts(self, filler: Filler) -> None:
        (found,) = filler.score(["the 猫"])
        assert found.tokens == 2
        assert np.isfinite(found.score)


class TestLongTexts:
    """The network sees 48 tokens, two of them special."""

    def test_a_mask_sees_what_is_around_it(self, filler: Filler) -> None:
        words = [f"word{i}" for i in range(100)]
        words[60] = "[MASK]"
        found = only(filler.fill([" ".join(words)]))
        around = only(filler.fill([" ".join(words[37:83])]))
        assert (found.windowed, around.windowed) == (True, False)
        assert [(a.text, a.score) for a in found.masks[0]] == [
            (a.text, a.score) for a in around.masks[0]
        ]
        assert found.filled.split() == [*words[:60], found.masks[0][0].text, *words[61:]]

    @pytest.mark.parametrize(("place", "window"), [(0, slice(0, 46)), (99, slice(54, 100))])
    def test_at_the_ends_it_sees_as_much(self, filler: Filler, place: int, window: slice) -> None:
        words = [f"word{i}" for i in range(100)]
        words[place] = "<mask>"
        found = only(filler.fill([" ".join(words)]))
        around = only(filler.fill([" ".join(words[window])]))
        assert [a.score for a in found.masks[0]] == [a.score for a in around.masks[0]]

    def test_each_mask_has_a_window_of_its_own(self, filler: Filler) -> None:
        far = only(filler.fill(["[MASK] " + "dog " * 200 + "[MASK]"]))
        assert len(far.masks) == 2
        assert far.windowed

    def test_targets_of_several_pieces(self, filler: Filler) -> None:
        words = ["cat"] * 60
        words[30] = "[MASK]"
        found = only(filler.fill([" ".join(words)], targets=["dogs"]))
        shorter = only(filler.fill([" ".join(words[8:53])], targets=["dogs"]))
        assert found.masks[0][0].score == pytest.approx(shorter.masks[0][0].score)

    def test_scores_count_every_token(self, filler: Filler) -> None:
        (found,) = filler.score(["dog cat " * 50])
        assert (found.tokens, found.windowed) == (100, True)
        assert found.score < 0


class TestIndependence:
    def test_a_text_is_filled_the_same_alone_and_among_others(self, eight: Filler) -> None:
        texts = [*TEXTS, *(f"{'dog ' * n}[MASK] cat ___" for n in range(40))]
        together = eight.fill(texts)
        assert together == [one for text in texts for one in eight.fill([text])]
        assert eight.score(texts[:12]) == [
            one for text in texts[:12] for one in eight.score([text])
        ]

    def test_threads_change_nothing(self, eight: Filler, folder: Path) -> None:
        single = load("fill", str(folder), device="cpu", threads=1)
        texts = [*TEXTS, *(f"{'dog ' * n}[MASK] cat ___" for n in range(40))]
        assert eight.fill(texts) == single.fill(texts)

    def test_more_queries_than_are_answered_together(self, eight: Filler) -> None:
        row = tuple(ids("the [MASK] is on the moon"))
        asked = [Query(row, 2 + i % 3, (5 + i % 7,)) for i in range(CHUNK + 10)]
        found = list(eight._masked.ask(asked))
        assert len(found) == len(asked)
        assert found[CHUNK + 5] == found[(CHUNK + 5) % 21]


class Wrapped:
    """A session with something between it and the filler."""

    def __init__(self, inner: Any, between: Callable[[Any, list[Any]], list[Any]]) -> None:
        self._inner, self._between = inner, between

    def run(self, feeds: Any, outputs: Any) -> list[Any]:
        return self._between(feeds, self._inner.run(feeds, outputs))


class TestMemory:
    """The graph takes two rows at a time, and none with the word moon in."""

    @pytest.fixture
    def narrow(self, filler: Filler, monkeypatch: pytest.MonkeyPatch) -> Filler:
        moon = TOKENS.index("moon")

        def between(feeds: Any, found: list[Any]) -> list[Any]:
            if len(feeds["input_ids"]) > 2 or moon in feeds["input_ids"]:
                raise MemoryError("Failed to allocate memory")
            return found

        wrapped = Wrapped(filler._masked.session, between)
        monkeypatch.setattr(filler._masked, "session", wrapped)
        return filler

    TEXTS = ("a ___ cat", "the dog", "the moon ___", "___ night", "a dog is ___", "___ ___")

    @pytest.mark.parametrize("way", ["fill", "fill_jointly", "score"])
    def test_a_text_that_is_too_much_fails_alone(
        self, eight: Filler, filler: Filler, way: str, request: pytest.FixtureRequest
    ) -> None:
        expected = getattr(filler, way)(self.TEXTS)
        found = getattr(request.getfixturevalue("narrow"), way)(self.TEXTS)
        assert len(found) == len(expected) == len(self.TEXTS)
        for i, (one, other) in enumerate(zip(found, expected, strict=True)):
            if i == 2:
                assert isinstance(one, InputError)
                assert one.message == "does not fit into memory"
            elif isinstance(other, InputError):
                assert isinstance(one, InputError)
                assert one.message == other.message
            else:
                assert one == other

    def test_a_thousand_gaps_hold_the_text_once(self, filler: Filler) -> None:
        def size(count: int) -> int:
            tracemalloc.start()
            try:
                found = filler.fill(["a ___ " * count])
                assert len(only(found).masks) == count
                return tracemalloc.get_traced_memory()[0]
            finally:
                tracemalloc.stop()

        filler.fill(["a ___"])
        assert size(1200) < 6 * size(300)


class TestNumbers:
    @pytest.mark.parametrize("way", ["fill", "fill_jointly", "score"])
    def test_nan_is_the_error_of_a_text(
        self, filler: Filler, monkeypatch: pytest.MonkeyPatch, way: str
    ) -> None:
        def between(feeds: Any, found: list[Any]) -> list[Any]:
            tokens, scores, targets = found
            return [tokens, scores * np.float32(np.nan), targets * np.float32(np.nan)]

        wrapped = Wrapped(filler._masked.session, between)
        monkeypatch.setattr(filler._masked, "session", wrapped)
        (found,) = getattr(filler, way)(["a ___ cat"])
        assert isinstance(found, InputError)
        assert found.message == "the model computes no number for it (NaN)"

    def test_a_perplexity_beyond_all_numbers_is_infinite(self) -> None:
        assert Likelihood(-1e6, 2, windowed=False, unknown=False).perplexity == np.inf


class TestUnknown:
    @pytest.mark.parametrize(
        ("text", "unknown"),
        [
            ("猫 [MASK] 犬", True),
            ("猫 [MASK] .", True),
            ("the 猫 [MASK]", False),
            ("The dog [MASK]", False),
            ("[MASK]", False),
            ("[MASK] !", False),
        ],
    )
    def test_a_text_of_which_nothing_is_known(
        self, filler: Filler, text: str, unknown: bool
    ) -> None:
        assert only(filler.fill([text])).unknown is unknown
        (joint,) = filler.fill_jointly([text])
        (likelihood,) = filler.score([text])
        assert isinstance(joint, JointFillings)
        assert isinstance(likelihood, Likelihood)
        assert joint.unknown is likelihood.unknown is unknown


class TestTwins:
    """Two tokens that are spelled alike: the likelier one is kept."""

    @pytest.fixture
    def alike(self, filler: Filler, monkeypatch: pytest.MonkeyPatch) -> Filler:
        decode = filler._tokenizer.decode
        second = only(filler.fill(TEXTS[:1])).masks[0][1].text
        first = only(filler.fill(TEXTS[:1])).masks[0][0].text

        def decoded(rows: Any) -> list[str]:
            return [first if text == second else text for text in decode(rows)]

        monkeypatch.setattr(filler._tokenizer, "decode", decoded)
        return filler

    def test_they_are_one_answer(self, alike: Filler) -> None:
        answers = [answer.text for answer in only(alike.fill(TEXTS[:1])).masks[0]]
        assert len(answers) == len(set(answers)) == 5

    def test_they_are_one_joint_filling(self, alike: Filler) -> None:
        (found,) = alike.fill_jointly(TEXTS[:1], top=5)
        assert isinstance(found, JointFillings)
        assert len({filling.filled for filling in found.fillings}) == len(found.fillings) == 5

    def test_there_may_be_fewer_than_asked(self, alike: Filler) -> None:
        (found,) = alike.fill_jointly(TEXTS[:1], top=8)
        assert isinstance(found, JointFillings)
        assert len(found.fillings) == 7


def test_what_cannot_be_had(filler: Filler) -> None:
    with pytest.raises(UsageError, match="at most 1024 joint fillings"):
        filler.fill_jointly(TEXTS, top=1025)
    assert len(only(filler.fill(["a ___"], top=1 << 80)).masks[0]) == len(TOKENS) - SPECIAL


def test_a_target_that_is_no_text_is_refused(filler: Filler) -> None:
    with pytest.raises(UsageError, match=r"'caf\\udce9' is no text|udce9"):
        filler.fill(TEXTS, targets=["caf\udce9"])


def test_batches_hold_every_query_once_and_rows_of_like_length() -> None:
    rows = [tuple(range(1, 2 + i * 7 % 90)) for i in range(300)]
    queries = [Query(rows[i % 300], 0) for i in range(900)]
    batches = _batches(queries)
    assert sorted(i for batch in batches for i in batch) == list(range(900))
    for batch in batches:
        distinct = {queries[i].row for i in batch}
        assert len(batch) <= 128
        assert len(distinct) * max(map(len, distinct)) <= 1024 or len(distinct) == 1


def test_says_what_it_runs_on(eight: Filler) -> None:
    assert eight.runs_on == "cpu (asked for), int8, 2 thread(s)"


def test_a_model_of_another_task_is_refused(tmp_path: Path) -> None:
    import shouting_model

    from genkit.model import open_model
    from genkit.runtime import RuntimeOptions

    model = open_model(shouting_model.write_model(tmp_path / "shout"))
    with pytest.raises(TypeError, match="no masked language model"):
        Filler(model, RuntimeOptions())
