"""What exporting published networks of full size costs: seconds, memory and disk.

    python tests/benchmarks/export.py [--model NAME ...] [--threads N]

Each network gets random weights and is written into a temporary folder as its authors publish it.
Then a process of its own exports it, the comparisons with PyTorch included, as `genkit export` does.
Memory is the peak of that process, PyTorch itself included; files are the checkpoint before and the
model folder after. A network that cannot be exported is told with its error.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genkit.errors import GenkitError

if TYPE_CHECKING:
    from torch import Tensor

BYTES_OF_MAXRSS = 1 if sys.platform == "darwin" else 1024
BERT_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
OPUS_VOCABULARY = 58_101
"""Of opus-mt-en-de."""
SENTENCES = ("Where is the train station?", "Two dogs are running through the snow, all night.")
PIECES = 60


@dataclass(frozen=True)
class Cost:
    """What one export took."""

    parameters: int
    seconds: float
    peak: int
    """Bytes of memory."""
    before: int
    after: int
    """Bytes of files."""


def vit_b16(folder: Path) -> None:
    from genkit_export.architectures import vit

    save(vit.ViT(vit.base()).state_dict(), folder / "model.safetensors")


def swin_t(folder: Path) -> None:
    from genkit_export.architectures import swin

    save(swin.Swin(swin.tiny()).state_dict(), folder / "model.safetensors")


def bert_base(folder: Path) -> None:
    from genkit_export.architectures.bert import Bert, BertConfig
    from genkit_export.checkpoints.bert import to_transformers, transformers_config

    model = Bert(BertConfig())
    state = to_transformers(model)
    del state["cls.predictions.decoder.weight"], state["cls.predictions.decoder.bias"]  # tied
    save(state, folder / "model.safetensors")
    write_json(folder / "config.json", transformers_config(model))
    others = (f"word{i}" for i in range(model.config.vocab_size - len(BERT_SPECIAL)))
    (folder / "vocab.txt").write_text("\n".join([*BERT_SPECIAL, *others]) + "\n")


def opus_mt(folder: Path) -> None:
    import torch

    from genkit_export.architectures.transformer import Transformer, marian
    from genkit_export.checkpoints.marian import marian_config, to_marian

    pieces = set(write_sentencepiece(folder))
    tokens = ["</s>", "<unk>", *sorted(pieces - {"</s>", "<unk>", "<s>"})]
    tokens += [f"unused{i}" for i in range(OPUS_VOCABULARY - 1 - len(tokens))]
    write_json(folder / "vocab.json", {token: i for i, token in enumerate([*tokens, "<pad>"])})
    model = Transformer(marian(OPUS_VOCABULARY))
    write_json(folder / "config.json", marian_config(model))
    torch.save(to_marian(model), folder / "pytorch_model.bin")


def big_lama(folder: Path) -> None:
    import torch

    from genkit_export.architectures.inpaint import Lama, LamaConfig

    state = Lama(LamaConfig()).state_dict()
    (folder / "models").mkdir()
    named = {f"generator.{name}": tensor for name, tensor in state.items()}
    torch.save({"state_dict": named}, folder / "models" / "best.ckpt")


def biggan_deep(folder: Path) -> None:
    import torch
    import torch.nn.functional as F

    from genkit_export.architectures.biggan_deep import BigGanDeep, BigGanDeepConfig
    from genkit_export.architectures.spectral import Stored

    config = BigGanDeepConfig()
    model = BigGanDeep(config)
    for layer in model.modules():
        if isinstance(layer, Stored):  # the vectors that its training would have found
            matrix = layer.weight_orig.detach().flatten(1)
            for _ in range(3):
                layer.weight_v.copy_(F.normalize(matrix.T @ layer.weight_u, dim=0))
                layer.weight_u.copy_(F.normalize(matrix @ layer.weight_v, dim=0))
    write_json(folder / "config.json", asdict(config))
    torch.save(model.state_dict(), folder / "pytorch_model.bin")


MODELS: dict[str, Callable[[Path], None]] = {
    "ViT-B/16 (timm)": vit_b16,
    "Swin-T (timm)": swin_t,
    "BERT-base (transformers)": bert_base,
    "OPUS-MT (transformers)": opus_mt,
    "Big-LaMa (Lightning)": big_lama,
    "BigGAN-deep-128 (Hugging Face)": biggan_deep,
}


def save(state: dict[str, Tensor], path: Path) -> None:
    from safetensors.torch import save_file

    save_file(state, path)


def write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content))


def write_sentencepiece(folder: Path) -> Iterable[str]:
    """Both tokenisers, small ones; their pieces."""
    import sentencepiece

    pieces: list[str] = []
    for name in ("source.spm", "target.spm"):
        with (folder / name).open("wb") as file:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(SENTENCES), model_writer=file, vocab_size=PIECES,
                hard_vocab_limit=False, minloglevel=9,
            )  # fmt: skip
        model = sentencepiece.SentencePieceProcessor(model_file=str(folder / name))
        pieces += [model.id_to_piece(i) for i in range(len(model))]
    return pieces


def write(name: str, folder: Path) -> None:
    """In a process of its own, for the peak of the next one starts from nothing."""
    import torch

    torch.manual_seed(0)
    MODELS[name](folder)


def measure(folder: Path, threads: int | None) -> Cost:
    """Export what is in a folder; in a process of its own."""
    start = time.perf_counter()
    import torch

    from genkit_export import export_checkpoint, inspect_checkpoint

    if threads:
        torch.set_num_threads(threads)
    before = size(folder)
    out = export_checkpoint(folder, folder / "exported", name="model")
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * BYTES_OF_MAXRSS
    parameters = inspect_checkpoint(folder)["parameters"]
    return Cost(parameters, seconds, peak, before, size(out))


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a fresh process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", action="append", metavar="NAME", help="part of a name")
    parser.add_argument("--threads", type=int, help="of PyTorch; its own choice by default")
    options = parser.parse_args()
    wanted = [part.lower() for part in options.model or [""]]
    names = [name for name in MODELS if any(part in name.lower() for part in wanted)]
    if not names:
        parser.error(f"no such model; there are {', '.join(MODELS)}")
    print(
        "| model | parameters | seconds | peak memory | checkpoint | model folder |\n"
        "| --- | ---: | ---: | ---: | ---: | ---: |"
    )
    for name in names:
        with tempfile.TemporaryDirectory() as scratch:
            alone(write, name, Path(scratch))
            try:
                cost: Cost = alone(measure, Path(scratch), options.threads)
            except GenkitError as error:
                print(f"| {name} | {error} |", flush=True)
                continue
        print(
            f"| {name} | {cost.parameters / 1e6:.1f} M | {cost.seconds:.0f} | "
            f"{cost.peak / 2**30:.1f} GiB | {cost.before / 2**20:.0f} MiB | "
            f"{cost.after / 2**20:.0f} MiB |",
            flush=True,
        )


if __name__ == "__main__":
    main()
