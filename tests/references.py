"""Our networks in other people's programs: transformers and CTranslate2."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genkit_export.architectures.bert import Bert
from genkit_export.architectures.transformer import Transformer
from genkit_export.checkpoints.bert import to_transformers, transformers_config
from genkit_export.checkpoints.genkit import describe, load_weights
from genkit_export.checkpoints.marian import marian_config, to_marian
from genkit_export.read import read
from genkit_export.registry import ARCHITECTURES

if TYPE_CHECKING:
    import ctranslate2
    from tokenizers import Tokenizer
    from transformers import BertForMaskedLM, FillMaskPipeline, MarianMTModel

EN_DE = Path(__file__).parents[1] / "weights" / "translate" / "en-de"
UNK = 1


def load_network(folder: Path) -> Any:
    """The PyTorch network of the checkpoint in a folder, in float32."""
    path = folder / "checkpoint.safetensors"
    description = describe(read(path))
    assert description is not None
    row = ARCHITECTURES[description.architecture]
    network = row.network(row.config(**description.config))
    load_weights(path, network)
    return network.eval()


def load_transformer(folder: Path = EN_DE) -> Transformer:
    """The same of one that translates."""
    network = load_network(folder)
    assert isinstance(network, Transformer)
    return network


def marian_twin(model: Transformer, forbidden: Sequence[int] = ()) -> MarianMTModel:
    """transformers' model with the same weights, but for tokens that are never to be generated:
    transformers itself forbids them after the softmax, where they still count in its sum."""
    from transformers import MarianConfig, MarianMTModel

    twin = MarianMTModel(MarianConfig(**marian_config(model), attn_implementation="eager"))
    twin.load_state_dict(to_marian(model))
    twin.final_logits_bias[0, list(forbidden)] = -1e4
    return twin.eval().to(model.embedding.weight.dtype)


def convert_to_ctranslate2(
    model: Transformer, tokenizer: Tokenizer, folder: Path, quantization: str | None
) -> None:
    """Write the CTranslate2 model with the same weights to a new folder."""
    from ctranslate2.converters.transformers import MarianMTLoader

    class Special:
        eos_token = tokenizer.id_to_token(model.config.eos_id)
        unk_token = tokenizer.id_to_token(UNK)

    loader = MarianMTLoader()
    twin = marian_twin(model)
    spec = loader.get_model_spec(twin)
    # CTranslate2 starts from a zero embedding in place of a padding token.
    tokens = [tokenizer.id_to_token(i) for i in range(model.config.pad_id)]
    loader.set_vocabulary(spec, tokens)
    loader.set_config(spec.config, twin, Special)
    spec.validate()
    spec.optimize(quantization=quantization)
    folder.mkdir(parents=True)
    spec.save(str(folder))


def ctranslate2_ids(
    translator: ctranslate2.Translator,
    tokenizer: Tokenizer,
    rows: Sequence[Sequence[int]],
    **options: Any,
) -> list[list[int]]:
    """CTranslate2's best hypothesis for rows of source ids, with the end token."""
    pieces = [[tokenizer.id_to_token(i) for i in row] for row in rows]
    results = translator.translate_batch(pieces, disable_unk=True, return_end_token=True, **options)
    return [[tokenizer.token_to_id(t) for t in result.hypotheses[0]] for result in results]


def load_bert(folder: Path) -> Bert:
    """The same of one that fills masks."""
    network = load_network(folder)
    assert isinstance(network, Bert)
    return network


def bert_twin(model: Bert, attention: str = "eager") -> BertForMaskedLM:
    """transformers' model with the same weights."""
    from transformers import BertConfig, BertForMaskedLM

    config = BertConfig(**transformers_config(model), attn_implementation=attention)
    twin = BertForMaskedLM(config)
    twin.load_state_dict(to_transformers(model))
    return twin.eval().to(model.embeddings.words.weight.dtype)


def fill_pipeline(model: Bert, tokenizer: Tokenizer) -> FillMaskPipeline:
    """transformers' pipeline with the same weights, as it runs by default."""
    from transformers import FillMaskPipeline, PreTrainedTokenizerFast

    special = {
        f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")
    }
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=model.config.max_positions, **special
    )
    return FillMaskPipeline(bert_twin(model, "sdpa"), fast, device="cpu")
