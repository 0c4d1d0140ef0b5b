"""One graph searches as plain PyTorch does, and as Hugging Face `generate` does."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from references import UNK, marian_twin
from torch import Tensor
from transformers import MarianMTModel

from genkit_export.architectures.transformer import Transformer
from genkit_export.folder import save_graph
from genkit_export.parity import Graph
from genkit_export.search import Hypothesis, beam, greedy
from genkit_export.search_graph import build

from .models import perturbed, sentences, small_config

STEPS = 20


@dataclass(frozen=True)
class Case:
    """A network, its graph, and its twin in transformers."""

    model: Transformer
    graph: Graph
    twin: MarianMTModel

    def search(self, source: Tensor, **settings: Any) -> list[list[Hypothesis]]:
        """The graph's hypotheses for source ids."""
        inputs = {
            "input_ids": source.numpy(),
            "prefix_ids": np.zeros((len(source), 0)),
            "beam_size": 1,
            "length_penalty": 1.0,
            "early_stopping": False,
            "min_length": 0,
            "max_length": [STEPS] * len(source),
            "repetition_penalty": 1.0,
            "no_repeat_ngram_size": 0,
            "return_scores": True,
        }
        tokens, scores = self.graph.run(["tokens", "scores"], **(inputs | settings))
        pad = self.model.config.pad_id
        return [
            [
                Hypothesis(tuple(t for t in hypothesis if t != pad), score)
                for hypothesis, score in zip(row, row_scores, strict=True)
            ]
            for row, row_scores in zip(tokens.tolist(), scores.tolist(), strict=True)
        ]

    def generate(self, source: Tensor, **settings: Any) -> list[tuple[int, ...]]:
        """transformers' sequences, flat, without start token and padding."""
        pad = self.model.config.pad_id
        found = self.twin.generate(
            input_ids=source,
            attention_mask=(source != pad).long(),
            do_sample=False,
            **({"max_new_tokens": STEPS, "num_beams": 1} | settings),
        )
        return [tuple(t for t in row if t != pad) for row in found.tolist()]


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    model = perturbed(small_config())
    path = tmp_path_factory.mktemp("graph") / "search.onnx"
    save_graph(build(model, [UNK]), path)
    return Case(model, Graph(path), marian_twin(model, [UNK, model.config.pad_id]))


def same(found: list[Hypothesis], expected: list[Hypothesis]) -> bool:
    """Equal tokens; where two hypotheses tie, their order is free."""
    if [h.tokens for h in found] == [h.tokens for h in expected]:
        return True
    close = np.allclose([h.score for h in found], [h.score for h in expected], atol=2e-6)
    return close and {h.tokens for h in found} == {h.tokens for h in expected}


@pytest.mark.parametrize("rows", [1, 8, 64])
class TestPlainPyTorch:
    def test_greedy(self, case: Case, rows: int) -> None:
        source = sentences(rows, 14, case.model.config)
        expected = greedy(case.model, source, STEPS, [UNK])
        found = [row[0] for row in case.search(source)]
        assert [h.tokens for h in found] == [h.tokens for h in expected]
        assert np.allclose([h.score for h in found], [h.score for h in expected], atol=1e-5)

    @pytest.mark.parametrize(("beam_size", "penalty"), [(2, 1.0), (4, 0.6), (5, 2.0)])
    def test_beam(self, case: Case, rows: int, beam_size: int, penalty: float) -> None:
        source = sentences(rows, 14, case.model.config)
        expected = beam(case.model, source, beam_size, STEPS, penalty, suppress=[UNK])
        found = case.search(source, beam_size=beam_size, length_penalty=penalty)
        assert all(map(same, found, expected))

    def test_beam_with_early_stopping(self, case: Case, rows: int) -> None:
        source = sentences(rows, 14, case.model.config)
        expected = beam(case.model, source, 4, STEPS, early_stopping=True, suppress=[UNK])
        found = case.search(source, beam_size=4, early_stopping=True)
        assert all(map(same, found, expected))


def test_sentences_end_at_different_lengths(case: Case) -> None:
    lengths = {len(row[0].tokens) for row in case.search(sentences(64, 14, case.model.config))}
    assert len(lengths) > 5


SETTINGS = (
    {"repetition_penalty": 1.3},
    {"no_repeat_ngram_size": 1},
    {"no_repeat_ngram_size": 2},
    {"no_repeat_ngram_size": 3, "repetition_penalty": 0.8},
    {"min_length": 12},
    {"early_stopping": True},
)


@pytest.mark.parametrize("beam_size", [1, 4])
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_controls_equal_transformers(case: Case, settings: dict[str, Any], beam_size: int) -> None:
    source = sentences(16, 14, case.model.config)
    theirs = dict(settings)
    if "min_length" in theirs:
        # theirs counts the end token's predecessors, ours the end token too
        theirs["min_new_tokens"] = theirs.pop("min_length") - 1
    expected = case.generate(source, num_beams=beam_size, **theirs)
    if settings != {"early_stopping": True}:
        assert expected != case.generate(source, num_beams=beam_size)
    found = case.search(source, beam_size=beam_size, **settings)
    assert [row[0].tokens for row in found] == expected


@pytest.mark.parametrize("beam_size", [1, 4])
def test_a_forced_prefix_equals_transformers(case: Case, beam_size: int) -> None:
    pad = case.model.config.pad_id
    source = sentences(16, 14, case.model.config)
    prefix = torch.randint(2, pad, (16, 3), generator=torch.Generator().manual_seed(5))
    start = torch.full((16, 1), pad)
    expected = case.generate(
        source,
        num_beams=beam_size,
        decoder_input_ids=torch.cat([start, prefix], 1),
        max_new_tokens=STEPS - 3,
    )
    found = case.search(source, beam_size=beam_size, prefix_ids=prefix.numpy())
    assert [row[0].tokens for row in found] == expected


def test_prefixes_may_have_different_lengths(case: Case) -> None:
    pad = case.model.config.pad_id
    source = sentences(3, 14, case.model.config)
    prefixes = [[7, 8, 9], [7], []]
    padded = np.array([[*p, *[pad] * (3 - len(p))] for p in prefixes])
    together = case.search(source, beam_size=4, prefix_ids=padded)
    for row, prefix in enumerate(prefixes):
        alone = case.search(
            source[row : row + 1], beam_size=4, prefix_ids=np.array([prefix]).reshape(1, -1)
        )
        assert together[row] == alone[0]
        assert together[row][0].tokens[: len(prefix)] == tuple(prefix)


def test_each_row_has_its_own_limit(case: Case) -> None:
    source = sentences(1, 14, case.model.config).repeat(4, 1)
    for beam_size in (1, 3):
        found = case.search(
            source, beam_size=beam_size, min_length=STEPS, max_length=[1, 2, 5, STEPS]
        )
        assert [len(row[0].tokens) for row in found] == [1, 2, 5, STEPS]


@pytest.mark.parametrize("beam_size", [1, 4])
def test_a_row_does_not_depend_on_its_neighbours(case: Case, beam_size: int) -> None:
    source = sentences(32, 14, case.model.config)
    pad = case.model.config.pad_id
    together = case.search(source, beam_size=beam_size)
    for row, expected in zip(source, together, strict=True):
        alone = case.search(row[row != pad][None], beam_size=beam_size)[0]
        assert [h.tokens for h in alone] == [h.tokens for h in expected]


def test_greedy_without_scores_finds_the_same(case: Case) -> None:
    source = sentences(8, 14, case.model.config)
    silent = case.search(source, return_scores=False)
    assert [row[0].tokens for row in silent] == [row[0].tokens for row in case.search(source)]
    assert all(row[0].score == 0 for row in silent)


@pytest.mark.parametrize("overrides", [{"norm": "pre"}, {"activation": "relu"}, {"activation": "gelu"}, {"position_layout": "interleaved", "scale_embedding": False}, {"output_bias": False}, {"decoder_layers": 1, "encoder_layers": 3}], ids=str)  # fmt: skip
def test_every_choice_of_the_architecture_exports(
    overrides: dict[str, Any], tmp_path: Path
) -> None:
    model = perturbed(small_config(**overrides))
    save_graph(build(model), tmp_path / "search.onnx")
    case = Case(model, Graph(tmp_path / "search.onnx"), None)  # type: ignore[arg-type]
    source = sentences(8, 14, model.config)
    for found, expected in zip(case.search(source), greedy(model, source, STEPS), strict=True):
        assert found[0].tokens == expected.tokens
    assert all(map(same, case.search(source, beam_size=3), beam(model, source, 3, STEPS)))
