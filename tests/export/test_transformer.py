"""The Transformer equals its references: PyTorch's own layers, and transformers' MarianMTModel."""

import pytest
import torch
from references import marian_twin
from torch import Tensor, nn

from genkit_export.architectures.transformer import (
    MultiHeadAttention,
    Transformer,
    TransformerConfig,
    base,
    sinusoids,
)
from genkit_export.checkpoints.marian import marian_config, to_marian

from .models import VOCABULARY, perturbed, sentences, small_config

SHAPES = ((1, 5, 3), (4, 9, 7), (7, 30, 20))
"""Rows, source tokens, target tokens."""


@pytest.mark.parametrize("shape", SHAPES)
@torch.inference_mode()
def test_logits_equal_marian(shape: tuple[int, int, int]) -> None:
    rows, source_length, target_length = shape
    # In double precision: these networks are sharp, and in float32 the order of sums alone
    # makes 3e-5.
    model = perturbed(small_config()).double()
    source = sentences(rows, source_length, model.config)
    target = torch.randint(2, VOCABULARY - 1, (rows, target_length))
    target[:, 0] = model.config.pad_id

    expected = marian_twin(model)(
        input_ids=source,
        attention_mask=(source != model.config.pad_id).long(),
        decoder_input_ids=target,
    ).logits
    torch.testing.assert_close(model(source, target), expected, atol=1e-5, rtol=1e-5)


def test_every_weight_of_marian_is_mapped() -> None:
    model = perturbed(small_config())
    twin = marian_twin(model)
    assert twin.state_dict().keys() == to_marian(model).keys()


def test_choices_that_marian_lacks_are_refused() -> None:
    with pytest.raises(ValueError, match="Marian has"):
        marian_config(perturbed(small_config(norm="pre")))


TORCH_NAMES = {
    "linear1": "feed_forward.expand",
    "linear2": "feed_forward.contract",
    "self_attn.out_proj": "self_attention.output",
    "multihead_attn.out_proj": "cross_attention.output",
}


def torch_twin(model: Transformer, activation: str) -> nn.Transformer:
    """PyTorch's Transformer with our weights; final norms only before-norm networks have."""
    c = model.config
    pre = c.norm == "pre"
    twin = nn.Transformer(
        c.d_model, c.num_heads, c.encoder_layers, c.decoder_layers, c.d_ff,
        dropout=0.0, activation=activation, batch_first=True, norm_first=pre,
    ).eval()  # fmt: skip
    for ours, theirs in ((model.encoder, twin.encoder), (model.decoder, twin.decoder)):
        norms = ["self_residual.norm", "cross_residual.norm", "feed_residual.norm"]
        if ours is model.encoder:
            norms.remove("cross_residual.norm")
        for layer, other in zip(ours, theirs.layers, strict=True):
            names = TORCH_NAMES | {f"norm{i}": name for i, name in enumerate(norms, 1)}
            for name, module in other.named_modules():
                if name in names:
                    module.load_state_dict(layer.get_submodule(names[name]).state_dict())
                elif isinstance(module, nn.MultiheadAttention):
                    mine = layer.get_submodule(
                        "self_attention" if name == "self_attn" else "cross_attention"
                    )
                    parts = (mine.query, mine.key, mine.value)
                    module.in_proj_weight = nn.Parameter(torch.cat([p.weight for p in parts]))
                    module.in_proj_bias = nn.Parameter(torch.cat([p.bias for p in parts]))
        if not pre:
            theirs.norm = None
    if pre:
        twin.encoder.norm.load_state_dict(model.encoder_norm.state_dict())
        twin.decoder.norm.load_state_dict(model.decoder_norm.state_dict())
    return twin


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("layout", ["interleaved", "split"])
@torch.inference_mode()
def test_hidden_states_equal_torch(norm: str, activation: str, layout: str) -> None:
    model = perturbed(
        small_config(norm=norm, activation=activation, position_layout=layout, output_bias=False)
    ).double()  # in float32 the order of sums alone makes 2e-5
    source = sentences(3, 11, model.config)
    target = torch.randint(2, VOCABULARY - 1, (3, 8))
    hidden = model.decode(target, model.encode(source), model.padding_bias(source))

    padding = source == model.config.pad_id
    with torch.enable_grad():  # the inference fast path of PyTorch's encoder drops padded columns
        expected = torch_twin(model, activation).double()(
            model.embed(source),
            model.embed(target),
            tgt_mask=nn.Transformer.generate_square_subsequent_mask(8, dtype=torch.float64),
            src_key_padding_mask=padding,
            memory_key_padding_mask=padding,
        )
    torch.testing.assert_close(hidden, expected, atol=1e-5, rtol=1e-5)


def test_base_is_the_paper() -> None:
    config = base(37_000)
    assert (config.encoder_layers, config.decoder_layers) == (6, 6)
    assert (config.d_model, config.num_heads, config.d_ff, config.head_dim) == (512, 8, 2048, 64)
    assert (config.norm, config.activation, config.dropout) == ("post", "relu", 0.1)
    # 65 million parameters in table 3.
    with torch.device("meta"):
        count = sum(p.numel() for p in Transformer(config).parameters())
    assert round(count / 1e6) in range(60, 66)


def printed_sinusoid(position: int, column: int, d_model: int, base: float) -> float:
    """Section 3.5, a number at a time."""
    angle = torch.tensor(position / base ** (2 * (column // 2) / d_model), dtype=torch.float64)
    return float(angle.sin() if column % 2 == 0 else angle.cos())


@pytest.mark.parametrize("base", [10_000.0, 1_000.0])
def test_sinusoids_are_those_printed(base: float) -> None:
    printed = torch.tensor([[printed_sinusoid(p, c, 8, base) for c in range(8)] for p in range(20)])
    interleaved = sinusoids(20, 8, base, "interleaved")
    split = sinusoids(20, 8, base, "split")
    torch.testing.assert_close(interleaved, printed)
    torch.testing.assert_close(split, torch.cat([printed[:, 0::2], printed[:, 1::2]], 1))


@torch.inference_mode()
def test_a_token_sees_no_later_one() -> None:
    model = perturbed(small_config())
    source = sentences(1, 6, model.config)
    target = torch.randint(2, VOCABULARY - 1, (1, 9))
    changed = target.clone()
    changed[0, 5] += 1
    before, after = model(source, target), model(source, changed)
    torch.testing.assert_close(before[:, :5], after[:, :5])
    assert not torch.allclose(before[:, 5:], after[:, 5:])


@torch.inference_mode()
def test_padding_changes_nothing() -> None:
    model = perturbed(small_config()).double()
    source = sentences(1, 6, model.config)
    padded = torch.cat([source, torch.full((1, 4), model.config.pad_id)], 1)
    target = torch.randint(2, VOCABULARY - 1, (1, 9))
    torch.testing.assert_close(model(source, target), model(padded, target))


def test_gradients_of_the_written_out_attention_equal_the_fused() -> None:
    torch.manual_seed(0)
    attention = MultiHeadAttention(16, 2)
    fused = nn.MultiheadAttention(16, 2, batch_first=True)
    parts = (attention.query, attention.key, attention.value)
    fused.in_proj_weight = nn.Parameter(torch.cat([p.weight for p in parts]).detach())
    fused.in_proj_bias = nn.Parameter(torch.cat([p.bias for p in parts]).detach())
    fused.out_proj.load_state_dict(attention.output.state_dict())

    def gradient(run: object) -> tuple[Tensor, Tensor]:
        x = torch.linspace(-1, 1, 3 * 5 * 16).reshape(3, 5, 16).requires_grad_()
        out = run(x)  # type: ignore[operator]
        return out, torch.autograd.grad(out.square().sum(), x)[0]

    for ours, theirs in zip(
        gradient(lambda x: attention(x, x, torch.zeros(()))),
        gradient(lambda x: fused(x, x, x, need_weights=False)[0]),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(
    "sizes", [{"d_model": 30, "num_heads": 4}, {"d_model": 15, "num_heads": 3}]
)
def test_sizes_that_do_not_divide_are_refused(sizes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="d_model"):
        TransformerConfig(100, **sizes)  # type: ignore[arg-type]
