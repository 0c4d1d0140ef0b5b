"""ViT and Swin become model folders that classify pictures as PyTorch does."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor
from vision_models import LABELS, lively, swin_config, vit_config, write_checkpoint

from genkit.errors import InputError, ModelError
from genkit.model import Model, open_model, verify
from genkit_export import classify, export_checkpoint
from genkit_export.architectures.swin import Swin
from genkit_export.architectures.vit import ViT
from genkit_export.checkpoints import genkit as own
from genkit_export.parity import Graph
from genkit_export.picture_graph import noise

NETWORKS = {
    "vit": (vit_config(), (32, 32)),
    # At other sizes than the config's, positions are resized and windows padded.
    "mean": (
        vit_config(layers=1, stem="conv", stem_channels=(4, 8, 16), pooling="mean"),
        (40, 24),
    ),
    "swin": (swin_config(depths=(2, 1)), (36, 24)),
}


def normalised(network: ViT | Swin, image: Tensor) -> Tensor:
    mean, std = (torch.tensor(values) for values in (network.config.mean, network.config.std))
    return ((image / 255 - mean) / std).permute(0, 3, 1, 2)


@dataclass
class Made:
    """A network, the model made of it, and what was said meanwhile."""

    network: ViT | Swin
    size: tuple[int, int]
    model: Model
    said: list[str]

    def noise(self, batch: int) -> Tensor:
        return noise(batch, *self.size, 3)


@pytest.fixture(scope="module", params=NETWORKS)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    config, size = NETWORKS[request.param]
    network = lively(config)
    folder = tmp_path_factory.mktemp(request.param)
    said: list[str] = []
    resize = classify.image_section(config, LABELS)["resize"] | {"size": size}
    checkpoint = write_checkpoint(folder, network, resize=resize)
    model = open_model(export_checkpoint(checkpoint, folder / "model", report=said.append))
    return Made(network, size, model, said)


class TestFolder:
    def test_the_card_says_what_goes_in_and_comes_out(self, made: Made) -> None:
        assert verify(made.model) == []
        card = made.model.card
        assert card.image is not None and card.image.labels == LABELS
        assert card.image.resize.size == made.size
        (image,) = card.interface["classify"].inputs
        (probabilities,) = card.interface["classify"].outputs
        assert (image.name, image.dtype, image.shape) == (
            "image",
            "uint8",
            ("batch", *made.size, 3),
        )
        assert (probabilities.name, probabilities.dtype) == ("probabilities", "float32")
        assert probabilities.shape == ("batch", len(LABELS))
        assert len(made.said) == 1 + len(card.graphs)
        assert all("from PyTorch's by at most" in line for line in made.said[1:])

    def test_the_probabilities_are_pytorchs(self, made: Made) -> None:
        graph = Graph(made.model.graph("classify", "fp32"))
        for batch in (1, 3, 7):  # but for 1, none that the export tried
            image = made.noise(batch)
            (found,) = graph.run(["probabilities"], image=image.numpy())
            with torch.no_grad():
                expected = made.network(normalised(made.network, image)).softmax(1)
            np.testing.assert_allclose(found, expected, atol=1e-6, rtol=0)
            np.testing.assert_allclose(found.sum(1), 1, rtol=1e-5)

    def test_a_picture_is_judged_alone(self, made: Made) -> None:
        graph = Graph(made.model.graph("classify", "fp32"))
        image = made.noise(6).numpy()
        (together,) = graph.run(["probabilities"], image=image)
        alone = [graph.run(["probabilities"], image=one[None])[0][0] for one in image]
        np.testing.assert_allclose(together, alone, atol=1e-6, rtol=0)

    def test_a_class_token_looks_where_it_does_in_pytorch(self, made: Made) -> None:
        """Neither a Swin nor a ViT that takes the mean of the patches has one."""
        network = made.network
        if not isinstance(network, ViT) or not network.config.prefix:
            assert made.model.card.graphs.keys() == {"classify"}
            return
        (rollout,) = made.model.card.interface["attention"].outputs
        assert (rollout.name, rollout.shape) == ("rollout", ("batch", 4, 4))
        image = made.noise(3)
        graph = Graph(made.model.graph("attention", "fp32"))
        (found,) = graph.run(["rollout"], image=image.numpy())
        with torch.no_grad():
            expected = network.rollout(normalised(network, image))
        np.testing.assert_allclose(found, expected, atol=1e-6, rtol=0)
        assert found.std() > 1e-3

    def test_the_graph_is_small_and_plain(self, made: Made) -> None:
        """Weights in half precision, nothing of the machine, and operators that are fused when
        ONNX Runtime opens the graph.
        """
        path = made.model.graph("classify", "fp32")
        checkpoint = made.model.path.parent / "checkpoint.safetensors"
        assert path.stat().st_size < checkpoint.stat().st_size + 90_000
        assert b".py" not in path.read_bytes()
        kinds = {node.op_type for node in onnx.load(path).graph.node}
        assert {"LayerNormalization", "Gelu", "Softmax"} <= kinds
        assert not kinds & {"Erf", "If", "Loop", "ScatterND", "Resize"}


def test_a_graph_that_computes_something_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Graph.run
    monkeypatch.setattr(
        Graph, "run", lambda *args, **feeds: [x + 0.01 for x in run(*args, **feeds)]
    )
    checkpoint = write_checkpoint(tmp_path, lively(vit_config(layers=1, pooling="mean")))
    with pytest.raises(ModelError, match="does not compute what PyTorch does"):
        export_checkpoint(checkpoint, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_configuration_that_does_not_fit(tmp_path: Path) -> None:
    network = lively(vit_config())
    checkpoint = write_checkpoint(tmp_path, network)
    config = json.loads(json.dumps(asdict(network.config) | {"stem": "pyramid"}))
    own.write(
        checkpoint, network, own.Description("vit", config, {"task": "classify", "name": "a"})
    )
    with pytest.raises(InputError, match="its configuration does not fit: unknown stem"):
        export_checkpoint(checkpoint, tmp_path / "model")


def test_a_vit_takes_whole_patches(tmp_path: Path) -> None:
    resize = {**classify.image_section(vit_config(), LABELS)["resize"], "size": [32, 36]}
    checkpoint = write_checkpoint(tmp_path, lively(vit_config()), resize=resize)
    with pytest.raises(InputError, match="32 x 36 pixels are not a whole number of patches of 8"):
        export_checkpoint(checkpoint, tmp_path / "model")


def test_the_default_picture_is_the_configs() -> None:
    section = classify.image_section(vit_config(), LABELS, crop_pct=0.9)
    assert section["resize"]["size"] == [32, 32]
    assert section["resize"]["crop_pct"] == 0.9
    assert section["labels"] == list(LABELS)
