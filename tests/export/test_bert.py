"""BERT equals transformers' BertForMaskedLM."""

from __future__ import annotations

import pytest
import torch
from references import bert_twin
from small_bert import MASK, masked_rows, perturbed, small_config

from genkit_export.architectures.bert import Bert, BertConfig
from genkit_export.checkpoints.bert import to_transformers

SHAPES = ((1, 5), (4, 9), (7, 30))


@pytest.mark.parametrize("shape", SHAPES)
@torch.inference_mode()
def test_logits_equal_transformers(shape: tuple[int, int]) -> None:
    model = perturbed(small_config()).double()
    ids, _ = masked_rows(*shape, model.config)
    segments = torch.randint(2, ids.shape, generator=torch.Generator().manual_seed(0))
    there = ids != model.config.pad_id
    expected = bert_twin(model)(
        input_ids=ids, attention_mask=there.long(), token_type_ids=segments
    ).logits
    found = model(ids, segments)
    torch.testing.assert_close(found[there], expected[there], atol=1e-9, rtol=1e-9)


@torch.inference_mode()
def test_without_segments_everything_is_of_the_first() -> None:
    model = perturbed(small_config())
    ids, _ = masked_rows(3, 8, model.config)
    zeros, ones = torch.zeros_like(ids), torch.ones_like(ids)
    assert torch.equal(model(ids), model(ids, zeros))
    assert not torch.allclose(model(ids), model(ids, ones))


def test_every_weight_of_transformers_is_mapped() -> None:
    model = perturbed(small_config())
    assert bert_twin(model).state_dict().keys() == to_transformers(model).keys()


@torch.inference_mode()
def test_logits_at_masks_are_those_of_all_positions() -> None:
    model = perturbed(small_config()).double()
    ids, positions = masked_rows(5, 12, model.config)
    torch.testing.assert_close(model.at(ids, positions), model(ids)[ids == MASK])


@torch.inference_mode()
def test_padding_changes_nothing() -> None:
    model = perturbed(small_config()).double()
    ids, _ = masked_rows(1, 9, model.config)
    padded = torch.cat([ids, torch.full((1, 6), model.config.pad_id)], 1)
    torch.testing.assert_close(model(padded)[:, :9], model(ids))


@torch.inference_mode()
def test_a_token_sees_both_sides() -> None:
    model = perturbed(small_config())
    ids, _ = masked_rows(1, 9, model.config)
    before = model(ids)[0, 4]
    for column in (0, 8):
        changed = ids.clone()
        changed[0, column] += 1
        assert not torch.allclose(model(changed)[0, 4], before)


def test_base_is_the_paper() -> None:
    # Section 3: L = 12, H = 768, A = 12; 110 million parameters, the pooler's 0.6 counted.
    config = BertConfig()
    assert (config.layers, config.d_model, config.num_heads, config.d_ff) == (12, 768, 12, 3072)
    with torch.device("meta"):
        count = sum(p.numel() for p in Bert(config).parameters())
    assert round(count / 1e6) in range(108, 111)


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match="multiple of num_heads"):
        small_config(num_heads=7)


def test_an_unknown_activation_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown activation 'tanh'"):
        small_config(activation="tanh")
