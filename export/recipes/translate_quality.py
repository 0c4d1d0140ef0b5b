"""How good a translation model is, through genkit itself.

    python export/recipes/translate_quality.py --data DIR [--model en-de]

Prints, for each precision, greedy and with the default beam: tokenised and cased BLEU on Multi30k
test_2016, cased BLEU on held-out Tatoeba sentences and on held-out messages of software, and how
many everyday sentences and phrases become one of their accepted translations (None where there
are none for the languages of the model).
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import sacrebleu
from sacremoses import MosesPunctNormalizer, MosesTokenizer

import genkit
from genkit.model import find
from translate_corpus import Corpus, Languages, Pair

ACCEPTED = Path(__file__).parents[2] / "tests" / "data"
"""Files of a text and its accepted translations on each line."""
BEAMS = (1, 4)
SOFTWARE_ROWS = 1000
EVERYDAY = {"en-de": "everyday.tsv"}

Translate = Callable[[Sequence[str]], list[str]]


@dataclass(frozen=True)
class Quality:
    """BLEU figures, and how many of 50 everyday sentences and of 100 phrases match."""

    multi30k_tokenised: float
    """Lower-cased, punctuation normalised, Moses tokens: the measure of Multi30k papers."""
    multi30k_cased: float
    """sacreBLEU, 13a, cased, raw text."""
    tatoeba_cased: float
    software_cased: float | None
    everyday: int | None
    phrases: int | None


def measure(translate: Translate, corpus: Corpus, languages: Languages) -> Quality:
    """Measure a function from texts to their translations."""
    messages, pair = corpus.software_valid[:SOFTWARE_ROWS], "-".join(languages)
    multi30k, tatoeba = corpus.multi30k_test, corpus.tatoeba_valid
    captions = translate([source for source, _ in multi30k])
    references = [target for _, target in multi30k]
    return Quality(
        multi30k_tokenised=tokenised_bleu(captions, references, languages[1]),
        multi30k_cased=sacrebleu.corpus_bleu(captions, [references]).score,
        tatoeba_cased=cased_bleu(translate, tatoeba),
        software_cased=cased_bleu(translate, messages) if messages else None,
        everyday=accepted(translate, ACCEPTED / EVERYDAY.get(pair, "")),
        phrases=accepted(translate, ACCEPTED / f"phrases.{pair}.tsv"),
    )


def accepted(translate: Translate, path: Path) -> int | None:
    """How many texts of a file become one of their accepted translations; None without a file."""
    if not path.is_file():
        return None
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
    found = translate([row[0] for row in rows])
    return sum(text in row[1:] for text, row in zip(found, rows, strict=True))


def tokenised_bleu(hypotheses: Sequence[str], references: Sequence[str], language: str) -> float:
    """BLEU on Multi30k's `lc.norm.tok` form of texts in a language."""
    normalize = MosesPunctNormalizer(language).normalize
    tokenize = MosesTokenizer(language).tokenize

    def prepare(texts: Sequence[str]) -> list[str]:
        return [tokenize(normalize(text.lower()), return_str=True) for text in texts]

    return float(
        sacrebleu.corpus_bleu(
            prepare(hypotheses), [prepare(references)], tokenize="none", force=True
        ).score
    )


def cased_bleu(translate: Translate, pairs: Sequence[Pair]) -> float:
    """sacreBLEU (13a, cased) of a function from texts to their translations."""
    hypotheses = translate([source for source, _ in pairs])
    return float(sacrebleu.corpus_bleu(hypotheses, [[target for _, target in pairs]]).score)


def languages_of(model: str) -> Languages:
    """What a model, by name or folder, translates from and to."""
    text = find("translate", model).card.text
    assert text is not None and text.languages is not None
    (source,), (target,) = text.languages.source, text.languages.target
    return source, target


def table(model: str, corpus: Corpus, languages: Languages) -> dict[tuple[str, int], Quality]:
    """(precision, beam size) -> quality of a model, by name or folder."""
    results = {}
    for precision in ("fp32", "int8"):
        translator = genkit.load("translate", model, precision=precision)
        for beam_size in BEAMS:
            results[precision, beam_size] = measure(
                lambda texts, t=translator, b=beam_size: t(texts, beam_size=b), corpus, languages
            )
    return results


def show(results: dict[tuple[str, int], Quality]) -> str:
    lines = [
        "precision  beam  Multi30k lc tok  Multi30k cased  Tatoeba cased  software cased  everyday  phrases"
    ]
    lines += [
        f"{precision:9}  {beam:4}  {q.multi30k_tokenised:15.2f}  {q.multi30k_cased:14.2f}  "
        f"{q.tatoeba_cased:13.2f}  {q.software_cased or 0:14.2f}  {q.everyday or 0:5}/50  "
        f"{q.phrases or 0:4}/100"
        for (precision, beam), q in results.items()
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="en-de", help="name or folder of the model")
    options = parser.parse_args()
    languages = languages_of(options.model)
    print(show(table(options.model, Corpus.read(options.data, languages), languages)))


if __name__ == "__main__":
    main()
