"""What the card of a translation model says of its data and figures."""

from collections.abc import Mapping
from typing import Any

from genkit_export.architectures.transformer import TransformerConfig
from translate_corpus import (
    HELD_OUT_PERCENT,
    Corpus,
    Languages,
    other_than_english,
    phrases_file,
)
from translate_quality import Quality

NAMES = {"en": "English", "de": "German", "fr": "French"}
TATOEBA_YEAR = {"de": 2018, "fr": 2019}


def data_of(corpus: Corpus, other: str) -> list[dict[str, str]]:
    """What a model was trained on, with its licences."""
    tables = [
        (
            corpus.tatoeba,
            f"Tatoeba English-{NAMES[other]} (manythings.org/anki, {TATOEBA_YEAR[other]})",
            "CC BY 2.0",
        ),
        (
            corpus.multi30k,
            "Multi30k, training set (multi30k/dataset)",
            "non-commercial research and education",
        ),
        (
            corpus.software,
            "Messages and manuals of Debian packages, GNOME, git, PHP, LibreOffice and others",
            "GPL 2 or 3, LGPL, MPL 2, Apache 2.0, CC BY and CC BY-SA",
        ),
        (corpus.handbooks, "Man pages and handbooks of Debian packages", "GPL, GFDL, CC BY-SA"),
        (corpus.dictionary, "Ding (trans-de-en 1.9), TU Chemnitz", "GPL 2 or later"),
        (corpus.phrases, phrases_file(other).name + ", in the folder of the recipe", "Apache 2.0"),
    ]
    return [{"name": name, "license": terms} for pairs, name, terms in tables if pairs]


def card_of(
    network: TransformerConfig, languages: Languages, corpus: Corpus, origin: Mapping[str, Any]
) -> dict[str, Any]:
    """What the model's card says besides what the export finds out. `origin` tells of the run."""
    source, target = languages
    return {
        "task": "translate",
        "name": f"{source}-{target}",
        "description": f"{NAMES[source]} to {NAMES[target]}: everyday sentences, descriptions of "
        "pictures, messages of programs",
        "license": "research and education only (Multi30k); see data",
        "tags": ["default"] if languages == ("en", "de") else [],
        "text": {
            "tokenizer": {"source": "tokenizer.json", "target": "tokenizer.json"},
            "languages": {"source": [source], "target": [target]},
            "decoder_start_id": network.pad_id,
            "eos_id": network.eos_id,
            "pad_id": network.pad_id,
            "suppress_ids": [1],  # <unk>: every character can be spelled in bytes
            "max_positions": network.max_positions,
        },
        "origin": {
            "recipe": "export/recipes/translate.py",
            **origin,
            "data": data_of(corpus, other_than_english(languages)),
            "held_out": f"{HELD_OUT_PERCENT} % of each table, by a hash of the lower-cased English",
            "figures": [],
        },
    }


def figures_of(results: Mapping[tuple[str, int], Quality]) -> list[dict[str, Any]]:
    """The card's figures, in the order of the table that `translate_quality.py` prints."""
    return [
        {"measure": f"{measure} ({precision}, beam {beam})", "on": on, "value": round(value, 2)}
        for (precision, beam), quality in results.items()
        for measure, on, value in (
            ("BLEU of lower-cased tokens", "Multi30k test_2016", quality.multi30k_tokenised),
            ("cased sacreBLEU", "Multi30k test_2016", quality.multi30k_cased),
            ("cased sacreBLEU", "Tatoeba, held out", quality.tatoeba_cased),
            ("cased sacreBLEU", "messages of software, held out", quality.software_cased),
            ("accepted translations of 50", "everyday sentences", quality.everyday),
            ("accepted translations of 100", "phrases", quality.phrases),
        )
        if value is not None
    ]
