"""How often spans that are no language come back as they are: eight carriers for each example.

    python tests/benchmarks/spans.py [--model en-de] [--no-protect] [--show]

Prints, for each kind, how many of its sentences kept their span, and the translations with --show.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

import genkit

CARRIERS: tuple[str, ...] = (
    "I saw {} yesterday.",
    "Where is {}?",
    "Please open {} now.",
    "{} is very good.",
    "He works with {} every day.",
    "The man and {} are in the park.",
    "Do you know {}?",
    "She gave me {} for my birthday.",
)
EXAMPLES: Mapping[str, Sequence[str]] = {
    "{name}": ["{name}"],
    "{0}": ["{0}"],
    "%s": ["%s"],
    "%d": ["%d"],
    "%1$s": ["%1$s"],
    "${var}": ["${var}"],
    "{{user}}": ["{{user}}"],
    ":name": [":name"],
    "URL": ["https://example.org/", "https://example.org/a_b/c?x=1&y=2#top", "www.example.com"],
    "e-mail": ["jane.doe@example.org", "info@example.de"],
    "@user": ["@user"],
    "tag": ["<b>snow</b>", "<br/>", '<a href="x">dog</a>'],
    "entity": ["&amp;", "&nbsp;"],
    "`code`": ["`code`", "`git push`"],
    "path": ["C:\\Users\\me\\file.txt", "/etc/hosts"],
    "file.txt": ["file.txt", "notes.md"],
    "foo_bar": ["foo_bar"],
    "fooBar": ["fooBar"],
    "1,234.50": ["1,234.50"],
    "date": ["2024-05-06", "12/31/1999"],
    "time": ["10:30"],
    "$5": ["$5", "5 €"],
    "phone": ["+49 30 1234567"],
    "-5": ["-5"],
    "v1.2.3": ["v1.2.3"],
    "ISBN": ["ISBN 978-3-16-148410-0"],
    "acronym": ["NASA", "HTML", "BBC"],
    "emoji": ["😀", "❤️", "👍🏽", "🎉"],
    "ZWJ emoji": ["👨‍👩‍👧"],
    "flag": ["🇩🇪"],
    "#python": ["#python"],
    "12.5": ["12.5"],
    "12.5 %": ["12.5 %", "100%"],
    "integer": ["17", "1987", "250"],
}


def kept(source: str, translation: str, example: str) -> bool:
    """Whether all of an example that is no language is in the translation."""
    from genkit.text.spans import find_spans

    spans = [span.text for span in find_spans(example)] or [example]
    return all(translation.count(span) == spans.count(span) for span in spans)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="en-de")
    parser.add_argument("--no-protect", action="store_true")
    parser.add_argument("--show", action="store_true")
    arguments = parser.parse_args()
    translator = genkit.load("translate", arguments.model)
    for kind, examples in EXAMPLES.items():
        pairs = [(carrier.format(e), e) for e in examples for carrier in CARRIERS]
        sources = [source for source, _ in pairs]
        results = translator(sources, protect=not arguments.no_protect)
        good = [
            kept(source, result, example)
            for (source, example), result in zip(pairs, results, strict=True)
        ]
        print(f"{kind:12} {sum(good):2} of {len(good):2}")
        if arguments.show:
            for source, result, right in zip(sources, results, good, strict=True):
                print(f"    {' ' if right else '!'} {source}\n      {result}")


if __name__ == "__main__":
    main()
