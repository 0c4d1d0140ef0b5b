"""What a Hugging Face folder says of a tokeniser besides its vocabulary.

Sources: transformers' `tokenization_utils_base.py` (`added_tokens.json`, `special_tokens_map.json`
and the `added_tokens_decoder` that followed them) and `tokenization_bert_japanese.py`.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer

from genkit.errors import InputError
from genkit_export.read import read_json

ABOUT, MAP, ADDED = "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"
PLAIN = {"word_tokenizer_type": "basic", "subword_tokenizer_type": "wordpiece"}
"""What BERT's tokeniser does; others of the Japanese one need a dictionary (MeCab, Sudachi)."""
FLAGS = ("lstrip", "rstrip", "normalized", "single_word", "special")


def about(folder: Path) -> Mapping[str, Any]:
    """The tokeniser's settings: those of `tokenizer_config.json`, and else the special tokens of
    `special_tokens_map.json`. Raises InputError for files that are no JSON.
    """
    found: dict[str, Any] = {}
    for name in (MAP, ABOUT):
        if (folder / name).exists():
            told = read_json(folder / name)
            found |= {key: value for key, value in told.items() if value is not None}
    return found


def content(token: object) -> object:
    """A special token: a string, or an object with its properties."""
    return token.get("content") if isinstance(token, dict) else token


def check_kind(
    folder: Path,
    told: Mapping[str, Any],
    config: Mapping[str, Any],
    known: Collection[str] | None,
) -> None:
    """Raises InputError for a tokeniser that does more than its files tell; `known` are the classes
    that do not, None those of a whole `tokenizer.json`.
    """
    for name, plain in PLAIN.items():
        if told.get(name, plain) != plain:
            raise InputError(
                f"the tokeniser of {folder} has {name}={told[name]}, which genkit does not have"
            )
    if told.get("do_basic_tokenize") is False:
        raise InputError(
            f"the tokeniser of {folder} has do_basic_tokenize=False, which genkit does not have"
        )
    kinds = [source.get("tokenizer_class") for source in (told, config)]
    for kind in filter(None, kinds):
        strange = "Japanese" in str(kind) if known is None else kind not in known
        if strange:
            raise InputError(
                f"the tokeniser of {folder} is a {kind}, which genkit does not have"
                + ("" if known is None else " without a tokenizer.json"),
                hint=None
                if known is None
                else 'transformers can write one: AutoTokenizer.from_pretrained("...").save_pretrained',
            )


def add_tokens(tokenizer: Tokenizer, folder: Path, told: Mapping[str, Any]) -> None:
    """Add the tokens that were added to a vocabulary, with their ids. Raises InputError where that
    cannot be.
    """
    numbered, others = _added(folder, told)
    for number, token in sorted(numbered.items()):
        (tokenizer.add_special_tokens if token.special else tokenizer.add_tokens)([token])
        found = tokenizer.token_to_id(token.content)
        if found != number:
            raise InputError(
                f"the tokeniser of {folder} has the added token {token.content!r} at {number}, but "
                f"its vocabulary leads to {found}"
            )
    tokenizer.add_special_tokens(others)


def added(folder: Path, told: Mapping[str, Any]) -> list[str]:
    """The tokens that were added to a vocabulary. Raises InputError for files that are broken."""
    numbered, others = _added(folder, told)
    return [token.content for token in (*numbered.values(), *others)]


def _added(folder: Path, told: Mapping[str, Any]) -> tuple[dict[int, AddedToken], list[AddedToken]]:
    """The added tokens by id, and the additional special ones that no file has an id for: they come
    after all others.
    """
    others = [str(content(token)) for token in told.get("additional_special_tokens", ())]
    found: dict[int, AddedToken] = {}
    if (folder / ADDED).exists():
        for text, number in read_json(folder / ADDED).items():
            if type(number) is not int:
                raise InputError(f"{folder / ADDED} has the id {number!r}")
            found[number] = AddedToken(text, normalized=False, special=text in others)
    decoder = told.get("added_tokens_decoder", {})
    if not isinstance(decoder, dict):
        raise InputError(f"{folder / ABOUT}: added_tokens_decoder must be an object")
    for number, token in decoder.items():
        match token:
            case {"content": str() as text} if str(number).isdecimal():
                flags = {name: bool(token[name]) for name in FLAGS if name in token}
                found[int(number)] = AddedToken(text, **flags)
            case _:
                raise InputError(f"{folder / ABOUT}: added_tokens_decoder has {token!r}")
    known = {token.content for token in found.values()}
    rest = [text for text in dict.fromkeys(others) if text not in known]
    return found, [AddedToken(text, normalized=False, special=True) for text in rest]
