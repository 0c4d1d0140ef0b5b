"""Swin equals those of timm, transformers, torchvision and Microsoft."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from vision_models import fill, lively, pictures, published, swin_config, weights

from genkit_export.architectures import swin
from genkit_export.architectures.swin import (
    Swin,
    SwinConfig,
    from_windows,
    relative_position_index,
    shift_mask,
    to_windows,
)
from genkit_export.checkpoints.swin import (
    from_microsoft,
    from_torchvision,
    from_transformers,
    transformers_config,
)

if TYPE_CHECKING:
    from transformers import SwinForImageClassification

RECORDS = json.loads((Path(__file__).parents[1] / "fixtures" / "vision.json").read_bytes())["swin"]


def name_of(record: dict[str, Any]) -> str:
    height, width = record["size"]
    return f"{record['source']}-{height}x{width}"


@pytest.mark.parametrize("record", RECORDS, ids=name_of)
@torch.inference_mode()
def test_logits_equal_what_was_recorded(record: dict[str, Any]) -> None:
    theirs = weights(record["shapes"])
    model = Swin(SwinConfig(**record["config"])).eval()
    model.load_state_dict(theirs if record["source"] == "timm_swin" else from_torchvision(theirs))
    found = model(pictures(2, *record["size"]))
    torch.testing.assert_close(found, torch.tensor(record["logits"]), atol=1e-5, rtol=0)


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> tuple[Swin, SwinForImageClassification]:
    """Ours with the weights of transformers'."""
    from transformers import SwinConfig, SwinForImageClassification

    config = swin_config()
    theirs = SwinForImageClassification(
        SwinConfig(**transformers_config(config), attn_implementation="eager")
    )
    fill(theirs)
    ours = Swin(config)
    ours.load_state_dict(from_transformers(published(theirs, tmp_path_factory.mktemp("swin"))))
    return ours.eval(), theirs.eval()


@pytest.mark.parametrize(("batch", "height", "width"), [(1, 32, 32), (3, 24, 40), (2, 37, 30)])
@torch.inference_mode()
def test_logits_equal_transformers(
    twins: tuple[Swin, SwinForImageClassification], batch: int, height: int, width: int
) -> None:
    """Sides that are no multiple of a window, or of a patch, are padded the same way."""
    ours, theirs = twins
    x = pictures(batch, height, width)
    expected = theirs(x, interpolate_pos_encoding=True).logits
    assert expected.std() > 0.2
    torch.testing.assert_close(ours(x), expected, atol=1e-5, rtol=0)


@torch.inference_mode()
def test_the_authors_names() -> None:
    """Downsampling belongs to the stage before, and what is computed anew may be in the file."""
    model = lively(swin_config())
    theirs = {
        name.replace("layers.1.downsample", "layers.0.downsample").replace("head.fc", "head"): t
        for name, t in model.state_dict().items()
    }
    theirs["layers.0.blocks.1.attn_mask"] = torch.zeros(16, 16, 16)
    theirs["layers.0.blocks.0.attn.relative_position_index"] = torch.zeros(16, 16)
    other = Swin(swin_config()).eval()
    other.load_state_dict(from_microsoft(theirs))
    x = pictures(1, 32, 32)
    assert torch.equal(other(x), model(x))


@pytest.mark.parametrize(
    ("config", "millions"), [(swin.tiny(), 28.288), (swin.small(), 49.606), (swin.base(), 87.768)]
)
def test_sizes_are_the_published_ones(config: SwinConfig, millions: float) -> None:
    """The parameters that timm's swin_{tiny,small,base}_patch4_window7_224 have."""
    with torch.device("meta"):
        count = sum(p.numel() for p in Swin(config).parameters())
    assert round(count / 1e6, 3) == millions


class TestWindows:
    def test_there_and_back(self) -> None:
        x = torch.arange(2 * 6 * 9 * 5.0).view(2, 6, 9, 5)
        windows = to_windows(x, 3)
        assert windows.shape == (2 * 6, 9, 5)
        assert torch.equal(windows[1].view(3, 3, 5), x[0, :3, 3:6])
        assert torch.equal(from_windows(windows, 6, 9, 3), x)

    def test_each_distance_has_a_bias(self) -> None:
        index = relative_position_index(3)
        assert len(index.unique()) == 25
        assert len(index.diagonal().unique()) == 1
        assert index[0, 1] == index[4, 5] != index[1, 0]  # one to the left

    def test_the_mask_hides_what_the_shift_brought_together(self) -> None:
        mask = shift_mask(8, 8, 4, (2, 2))
        assert mask.shape == (4, 1, 16, 16)
        assert not mask[0].any()  # the window of the upper left corner has neighbours only
        hidden = (mask < 0).float().mean((1, 2, 3))
        assert hidden.tolist() == [0, 0.5, 0.5, 0.75]
        one_way = shift_mask(4, 8, 4, (0, 2))
        assert (one_way < 0).float().mean((1, 2, 3)).tolist() == [0, 0.5]

    @torch.inference_mode()
    def test_windows_are_connected_by_shifting(self) -> None:
        """A pixel reaches its neighbour in the next window through the shifted block alone."""
        model = lively(swin_config(depths=(2,), num_heads=(2,)))
        assert isinstance(model, Swin)
        x = torch.zeros(1, 8, 8, 16)
        touched = x.clone()
        touched[0, 3, 3] = 1 + torch.arange(16.0)
        plain, shifted = model.layers[0].blocks
        near = (plain(touched) - plain(x)).abs().sum(3)[0] > 1e-6
        assert near[:4, :4].all() and not near[4:].any() and not near[:, 4:].any()
        far = (shifted(touched) - shifted(x)).abs().sum(3)[0] > 1e-6
        assert far[2:6, 2:6].all() and far.sum() == 16

    @torch.inference_mode()
    def test_a_picture_smaller_than_a_window(self) -> None:
        model = lively(swin_config())
        assert model(pictures(1, 4, 6)).isfinite().all()


@torch.inference_mode()
def test_a_picture_is_judged_alone() -> None:
    model = lively(swin_config())
    x = pictures(5, 32, 32)
    alone = torch.cat([model(picture[None]) for picture in x])
    torch.testing.assert_close(model(x), alone, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    "stem", [{"stem": "conv", "stem_channels": (8,)}, {"stem": "shifted"}], ids=lambda s: s["stem"]
)
@torch.inference_mode()
def test_other_stems(stem: dict[str, Any]) -> None:
    assert lively(swin_config(**stem))(pictures(2, 32, 32)).std(0).max() > 0.01


def test_a_config_comes_back_from_json() -> None:
    config = swin_config(stem="conv", stem_channels=(8, 16))
    assert SwinConfig(**json.loads(json.dumps(asdict(config)))) == config


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="2 depths, but 3 num_heads"):
        swin_config(num_heads=(2, 4, 8))
    with pytest.raises(ValueError, match="multiples of num_heads"):
        swin_config(num_heads=(3, 4))
    with pytest.raises(ValueError, match="plain patches"):
        transformers_config(swin_config(stem="shifted"))
