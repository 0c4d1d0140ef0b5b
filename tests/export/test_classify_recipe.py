"""The recipe of the classifiers: its pictures, what is done to them, and runs of a few steps."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Generator, Tensor
from vision_models import lively, swin_config, vit_config, write_checkpoint

import cifar_features
import classify
import classify_data
from classify_data import CHANGES, changed, chosen, cropped, mixed, normalised
from genkit.errors import InputError
from genkit.model import open_model
from genkit_export.architectures.swin import SwinConfig
from genkit_export.architectures.vit import ViTConfig
from genkit_export.checkpoints import genkit as own
from genkit_export.read import read
from loop import LoopConfig
from pictures import read_cifar
from precision import autocast

COLOURS = {"bird": (40, 90, 200), "cat": (200, 60, 40), "frog": (40, 180, 60)}


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classify, "DEVICE", "cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise in the colour of its class."""
    folder = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(0)
    with zipfile.ZipFile(folder / "cifar10-train.zip", "w") as archive:
        for label, colour in COLOURS.items():
            for i in range(21):
                noise = random.normal(0, 20, (16, 16, 3))
                picture = Image.fromarray((np.array(colour) + noise).clip(0, 255).astype(np.uint8))
                file = io.BytesIO()
                picture.save(file, "JPEG")
                archive.writestr(f"{label}/{i:04}.jpg", file.getvalue())
    return folder


def small(config: ViTConfig | SwinConfig, steps: int) -> classify.Hyperparameters:
    loop = LoopConfig(steps=steps, log_every=1, validate_every=2)
    return classify.Hyperparameters(
        network=replace(config, image_size=16, num_classes=3), batch=8, margin=2, loop=loop
    )


def moving(batch: int = 6) -> Tensor:
    """Pictures (batch, 3, 16, 16) from 0 to 255."""
    return torch.rand((batch, 3, 16, 16), generator=Generator().manual_seed(batch)) * 255


class TestPictures:
    def test_every_tenth_of_a_class_is_held_out(self, data: Path) -> None:
        pictures = read_cifar(data)
        assert pictures.classes == ("bird", "cat", "frog")
        assert pictures.train.shape == (54, 3, 16, 16) and pictures.train.dtype == torch.uint8
        assert pictures.valid_labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
        means = pictures.valid.float().mean((2, 3))
        for mean, number in zip(means, pictures.valid_labels, strict=True):
            expected = torch.tensor(COLOURS[pictures.classes[number]])
            assert (mean - expected).abs().max() < 15

    def test_an_epoch_has_every_picture_once(self) -> None:
        steps = [chosen(10, 3, step, seed=1) for step in range(6)]
        assert all(len(step) == 3 for step in steps)
        first, second = torch.cat(steps[:3]), torch.cat(steps[3:])
        assert len(first.unique()) == len(second.unique()) == 9
        assert not torch.equal(first, second)
        assert torch.equal(chosen(10, 3, 4, seed=1), steps[4])

    def test_crops_are_parts_of_the_mirrored_picture(self) -> None:
        x = moving(40).round().to(torch.uint8)
        crops = cropped(x, 2, Generator().manual_seed(0))
        padded = torch.nn.functional.pad(x.float(), [2] * 4, mode="reflect")
        flips = 0
        for crop, whole in zip(crops, padded, strict=True):
            views = whole.unfold(1, 16, 1).unfold(2, 16, 1).permute(1, 2, 0, 3, 4).flatten(0, 1)
            plain = (views == crop).flatten(1).all(1).any()
            turned = (views == crop.flip(2)).flatten(1).all(1).any()
            assert plain or turned
            flips += int(turned)
        assert 8 < flips < 32

    @pytest.mark.parametrize("change", CHANGES)
    def test_a_change_at_no_strength_is_none_and_keeps_the_shape(self, change: object) -> None:
        assert callable(change)
        x = moving()
        result = change(x, torch.rand((6, 1, 1, 1)) * 2 - 1)
        assert result.shape == x.shape and result.isfinite().all()
        if change in (classify_data._turned, classify_data._sheared, classify_data._shifted):
            still = change(x, torch.zeros(6, 1, 1, 1))
            torch.testing.assert_close(still, x, atol=0.01, rtol=0)

    def test_changes_stay_within_bytes(self) -> None:
        x = moving(200)
        result = changed(x, Generator().manual_seed(0))
        assert result.min() >= 0 and result.max() <= 255
        same = (result == x).flatten(1).all(1)
        assert 5 < same.sum() < 60  # one of eleven changes is none
        assert torch.equal(changed(x, Generator().manual_seed(0)), result)

    def test_what_is_mixed_has_the_share_of_its_pixels(self) -> None:
        x = torch.eye(4)[:, :, None, None].expand(4, 4, 16, 16)[:, :3] * 255
        targets = torch.eye(4)
        kinds = set()
        for seed in range(30):
            made, shares = mixed(x, targets, 0.4, 0.4, Generator().manual_seed(seed))
            torch.testing.assert_close(shares.sum(1), torch.ones(4))
            torch.testing.assert_close(made.mean((2, 3)) / 255, shares[:, :3])
            whole = bool(torch.equal(made, x))
            kinds.add("none" if whole else "cut" if made.unique().numel() == 2 else "blend")
        assert kinds == {"none", "cut", "blend"}

    def test_normalised(self) -> None:
        x = torch.tensor([[0.0], [127.5], [255]])[None, :, :, None]
        found = normalised(x, (0.5, 0.5, 0.5), (0.5, 0.25, 0.5))
        assert found.flatten().tolist() == [-1, 0, 1]


@pytest.mark.parametrize(
    "config",
    [vit_config(layers=1, pooling="mean"), swin_config(depths=(2,), num_heads=(2,))],
    ids=["vit", "swin"],
)
def test_a_run_ends_with_a_measured_model(
    config: ViTConfig | SwinConfig, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    config = replace(config, drop_path=0.1)
    with monkeypatch.context() as cut_short:
        cut_short.setattr(classify, "finish", lambda *_: None)
        classify.train(data, out, resume=False, init=None, teacher=None, hp=small(config, 2))
    classify.train(data, out, resume=True, init=None, teacher=None, hp=small(config, 3))
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log if "loss" in line] == [1, 2, 3]
    assert all(np.isfinite(value) for line in log for value in line.values())
    card = open_model(out / "model").card
    assert card.task == "classify"
    assert card.image is not None and card.image.labels == ("bird", "cat", "frog")
    assert card.image.resize.size == (16, 16)
    figures = {figure["measure"]: figure["value"] for figure in card.origin["figures"]}
    assert figures.keys() == {"accuracy, top 1, %", "accuracy, top 2, %", "cross-entropy, nats"}
    assert figures["accuracy, top 1, %"] <= figures["accuracy, top 2, %"]
    assert card.origin["taught"] is False


def test_it_learns(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Colours, in some steps."""
    monkeypatch.setattr(classify, "finish", lambda *_: None)
    hp = replace(small(vit_config(patch_size=8), 40), batch=18)
    hp = replace(hp, loop=replace(hp.loop, validate_every=40, average=0.5), learning_rate=3e-3)
    classify.train(data, tmp_path, resume=False, init=None, teacher=None, hp=hp)
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["top1"] == 100


def test_a_run_starts_from_weights(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = vit_config(image_size=16, num_classes=3)
    init = write_checkpoint(tmp_path, lively(config))
    monkeypatch.setattr(classify, "finish", lambda *_: None)
    hp = small(config, 1)
    classify.train(data, tmp_path, resume=False, init=init, teacher=None, hp=hp)
    found = torch.load(tmp_path / "best.pt", weights_only=True)
    for name, tensor in read(init).tensors.items():  # one step of 1e-3 / 1 away
        torch.testing.assert_close(found[name], tensor.float(), rtol=0, atol=2e-3)


class TestTeacher:
    @torch.no_grad()
    def test_it_says_what_the_network_says(self, tmp_path: Path) -> None:
        network = lively(swin_config(image_size=32, num_classes=3))
        teacher = classify.load_teacher(write_checkpoint(tmp_path, network), 3)
        x = moving(4)
        big = torch.nn.functional.interpolate(x, (32, 32), mode="bicubic", antialias=True)
        config = network.config
        expected = network(normalised(big, config.mean, config.std))
        torch.testing.assert_close(teacher(x), expected, atol=0.1, rtol=0.1)  # bfloat16

    @torch.no_grad()
    def test_the_judge_of_the_adversaries_may_teach(self, tmp_path: Path) -> None:
        judge = cifar_features.CifarResnet((24, 32, 40), 3)
        for module in judge.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_()  # type: ignore[union-attr]
                module.bias.normal_()
        path = tmp_path / "checkpoint.safetensors"
        config = {"widths": (24, 32, 40), "classes": 3}
        own.write(path, judge, own.Description(cifar_features.ARCHITECTURE, config, {}))
        x = torch.rand((4, 3, 32, 32)) * 255
        expected = judge.eval()(x / 127.5 - 1)
        found = classify.load_teacher(path, 3)(x)
        torch.testing.assert_close(found, expected, atol=0.1, rtol=0.1)  # bfloat16
        assert expected.std() > 0.01

    def test_it_must_know_the_classes(self, tmp_path: Path) -> None:
        path = write_checkpoint(tmp_path, lively(vit_config(num_classes=7)))
        with pytest.raises(InputError, match="knows 7 classes, not 3"):
            classify.load_teacher(path, 3)

    @torch.no_grad()
    def test_who_agrees_has_no_loss_but_that_of_the_labels(self) -> None:
        hp = replace(small(vit_config(), 1), smoothing=0.0)
        network, x = lively(hp.network), moving(4)
        targets = torch.eye(3)[[0, 1, 2, 0]]

        def itself(pictures: Tensor) -> Tensor:
            with autocast("cpu"):
                given = normalised(pictures, hp.network.mean, hp.network.std)
                return network(given).float()

        alone = classify.loss_of(network, x, targets, None, hp)
        agreed = classify.loss_of(network, x, targets, itself, hp)
        opposed = classify.loss_of(network, x, targets, lambda x: -itself(x), hp)
        assert float(agreed) == pytest.approx((1 - hp.distillation) * float(alone), rel=1e-4)
        assert opposed > agreed


def test_every_weight_has_one_optimizer_and_norms_and_positions_do_not_decay() -> None:
    for config in (vit_config(), swin_config()):
        network = lively(config)
        optimizers = classify.optimizers_of(network, small(config, 1))
        head, free = optimizers["adam"].param_groups
        (inside,) = optimizers["muon"].param_groups
        assert min(head["weight_decay"], inside["weight_decay"]) > free["weight_decay"] == 0
        names = {id(parameter): name for name, parameter in network.named_parameters()}
        for parameter in (*head["params"], *inside["params"]):
            assert names[id(parameter)].endswith("weight")
            assert parameter.dim() > 1
        assert all(names[id(parameter)].startswith("head") for parameter in head["params"])
        given = [id(p) for group in (head, free, inside) for p in group["params"]]
        assert sorted(given) == sorted(names)
