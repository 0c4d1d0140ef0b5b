"""Lines that are more than a sentence of plain words, and what must hold of their translations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["ODD_LINES", "OddLine"]


@dataclass(frozen=True)
class OddLine:
    """A line, and what every translation of it has."""

    kind: str
    text: str
    keeps: tuple[str, ...] = ()
    """In it as they are, as often as in the line."""
    starts: str = ""
    ends: str = ""
    sentences: int | None = None
    upper: bool = False
    reads: str | None = None
    """What a model that copies makes of it, if not the same line."""


def _kept(kind: str, *rows: tuple[str, ...]) -> list[OddLine]:
    """Rows of a line and what it keeps."""
    return [OddLine(kind, text, keeps) for text, *keeps in ((row[0], *row[1:]) for row in rows)]


def _spans(kind: str, carriers: Sequence[str], *spans: str) -> list[OddLine]:
    return [
        OddLine(kind, carrier.format(span), (span,))
        for i, span in enumerate(spans)
        for carrier in carriers[i % 3 :: 3]
    ]


_NOUN = ("I saw {} yesterday.", "Where is {}?", "Please open {} now.")
_AMID = ("The dog is {} very tired.", "Thank you {} see you tomorrow.", "A man {} and a woman.")


def _around(kind: str, *frames: str) -> list[OddLine]:
    lines = []
    for frame in frames:
        before, after = frame.split("~")
        lines.append(
            OddLine(kind, f"{before}I am tired.{after}", starts=before, ends=after, sentences=1)
        )
    return lines


ODD_LINES: tuple[OddLine, ...] = (
    # What is no language
    *_spans("Python placeholder", _NOUN, "{name}", "{0}", "{0:.2f}", "{}", "{user.name!r:>10}"),
    *_spans("printf", _NOUN, "%s", "%d", "%1$s", "%(count)d", "%-5.2f", "%%", "%ld", "%@", "%5.1f%%"),
    *_spans("template", _NOUN, "{{user}}", "${var}", "$HOME", "%{name}", "#{name}", ":name", "{{{x}}}"),
    *_spans("ICU", _NOUN, "{n, plural, one {# dog} other {# dogs}}", "{d, date, short}"),
    *_spans("URL", _NOUN, "https://example.org/", "http://a.b/c?x=1&y=2#top", "www.example.com",
            "ftp://ftp.example.org/pub", "example.org/docs", "https://en.wikipedia.org/wiki/A_(b)"),
    *_spans("e-mail", _NOUN, "jane.doe@example.org", "a+b@sub.example.co.uk"),
    *_spans("inline code", _NOUN, "`code`", "`git push -f`", "``a`b``"),
    *_spans("path", _NOUN, "C:\\Users\\me\\file.txt", "/etc/hosts", "~/notes/a.md", "./run.sh", "src/main.c",
            "\\\\server\\share", "/usr/local/bin/"),
    *_spans("file", _NOUN, "file.txt", "README.md", ".gitignore", "*.py", "archive.tar.gz"),
    *_spans("identifier", _NOUN, "foo_bar", "fooBar", "FooBar", "__init__", "MAX_SIZE", "foo()", "iPhone"),
    *_spans("option", _NOUN, "--force", "--name=value"),
    *_spans("version", _NOUN, "v1.2.3", "2.0.1", "1.2.3-rc1", "v2"),
    *_spans("date", _NOUN, "2024-05-06", "12/31/1999", "31.12.1999", "2024-05-06T10:30:00Z"),
    *_spans("time", _NOUN, "10:30", "23:59:59"),
    *_spans("phone", _NOUN, "+49 30 1234567", "(555) 123-4567", "030 1234567", "555-123-4567"),
    *_spans("mention", _NOUN, "@user", "@scope/pkg", "#python", "#42", "@1"),
    *_spans("ISBN", _NOUN, "ISBN 978-3-16-148410-0", "978-3-16-148410-0"),
    *_spans("amount", _NOUN, "$5", "5 €", "10 µm", "€1,234.50", "12.5 %", "100%", "5 kg", "-3 °C", "3 GB"),
    *_spans("number", _NOUN, "-5", "+3", "1,234.50", "12.5", "1987", "1’000’000", "3.14", "16:9", "½"),
    *_spans("code", _NOUN, "0x1F", "192.168.0.1", "127.0.0.1:8080", "COVID-19", "mp3", "#ff00aa"),
    *_spans("acronym", _NOUN, "NASA", "HTML", "BBC", "USB"),
    *_spans("script", _NOUN, "猫", "Москва", "東京", "שלום"),
    *_spans("mark", _AMID, "😀", "❤️", "👍🏽", "🇩🇪", "👨‍👩‍👧", "1️⃣", "→", "™", "&amp;", "&#39;", "[1]", "\ue000"),
    *_spans("token", _AMID, "</s>", "<unk>", "<pad>", ">>fra<<", "▁", "<|end|>"),
    *_kept(
        "several",
        ("Hello {name}, you have %d new messages.", "{name}", "%d"),
        ("Click <b>here</b> to pay %1$s &amp; go.", "<b>", "</b>", "%1$s", "&amp;"),
        ("Write to jane.doe@example.org or call +49 30 1234567.", "jane.doe@example.org", "+49 30 1234567"),
        ("The price is 1,234.50 (12.5 %) on 2024-05-06 at 10:30.", "1,234.50", "12.5 %", "2024-05-06", "10:30"),
        ("See [the dogs](https://example.org/dogs) in the `snow`.", "[", "](https://example.org/dogs)", "`snow`"),
        ("{a} and {b} and {c} and {d} and {e} are here.", "{a}", "{b}", "{c}", "{d}", "{e}"),
        ("Copy %s to %s and %s to %s.", "%s"),
        ("We have 1 and 2 and 3 and 4 and 5 and 6 and 7 and 8 and 9 and 10 and 11 dogs.", "11", "10"),
        ("%d/%d files in %s:%d are open.", "%d/%d", "%s:%d"),
        ("The dog has {n}px and 3 {unit}.", "{n}px", "{unit}"),
        ("I have #1 and #2 and @1 and XA with {name}.", "#1", "#2", "@1", "XA", "{name}"),
    ),
    # Marks in pairs
    *_kept(
        "pair",
        ("The first dog is **brown**.", "**"),
        ("The *first* dog is __brown__.", "*", "__"),
        ("<b>Snow</b> is very good.", "<b>", "</b>"),
        ("The dog is <a href=\"x>y\">in the snow</a> now.", '<a href="x>y">', "</a>"),
        ("<i>The <b>brown</b> dog</i> is tired.", "<i>", "<b>", "</b>", "</i>"),
        ("Press <kbd>Ctrl</kbd> and wait.", "<kbd>", "</kbd>"),
        ("I am <b>{name}</b> now.", "<b>{name}</b>"),
        ("One <br> two.", "<br>"),
        ("A ~~black~~ white dog.", "~~"),
        ("The dog is \x1b[1mvery\x1b[0m tired.", "\x1b[1m", "\x1b[0m"),
        ("A man</b> is tired.", "</b>"),
    ),
    # What stands around
    *_around("bullet", "- ~", "* ~", "+ ~", "• ~", "– ~", "1. ~", "12) ~", "(3) ~", "a) ~", "1.2.3. ~",
             "- [ ] ~", "- [x] ~", "[ ] ~", "* 1. ~"),
    *_around("quoted", "> ~", ">> ~", "> > ~", '"~"', "'~'", "“~”", "„~“", "«~»", "(~)", "[~]", "{~}", '("~")'),
    *_around("heading", "# ~", "### ~", "## ~ ##", "= ~ =", "| ~ |"),
    *_around("speech", "- ~", "-~", "— ~", "... ~", "…~", "♪ ~ ♪"),
    *_around("emphasis", "**~**", "*~*", "_~_", "***~***", "> **~**", "- **~**"),
    *_around("tags", "<i>~</i>", "<p>~</p>", "<p><b>~</b></p>", "<li>~", "~<br/>", "\x1b[31m~\x1b[0m", "</s>~"),
    *_around("blank", "    ~", "\t~", "~  ", "\u00a0~\u3000", "  - ~ "),
    *_around("emoji", "😀 ~", "~ 😀", "✓ ~", "→ ~", "~ 🎉🎉", "🇩🇪 ~"),
    OddLine("quoted", '"I am tired".', starts='"', ends='".', sentences=1),
    OddLine("quoted", '"I am tired', starts='"', sentences=1),
    OddLine("quoted", '(I am tired) and cold.', keeps=("(", ")")),
    OddLine("bullet", "-5 degrees.", ("-5",), starts="-5"),
    OddLine("bullet", "- -5 degrees.", ("-5",), starts="- -5"),
    OddLine("bullet", "1. First. 2. Second.", starts="1. "),
    OddLine("table", "| Name | Age |", starts="| ", ends=" |", sentences=2),
    OddLine("table", "|---|---|", starts="|---|---|", sentences=0),
    OddLine("table", "Dog\tCat\t5", keeps=("\t",), ends="\t5", sentences=2),
    # Nothing to translate
    *(OddLine("kept", text, starts=text, ends=text, sentences=0) for text in (
        "", " ", "---", "***", "https://example.org/", "{name}", "%s: %d", "`code`", "12:30", "NASA",
        "OK", "😀 😀", "<br/>", "foo_bar", "-", "- 5", "...", "| 1 | 2 |", "\ufeff", "C:\\x\\y.txt", "{a} {b}",
        "A + B = C",
    )),
    # Capitals
    *(OddLine("capitals", text, upper=True, sentences=1) for text in (
        "TWO DOGS ARE RUNNING THROUGH THE SNOW.", "GOOD NIGHT.", "WHERE IS THE TRAIN STATION?",
        "[DOOR OPENS]", "# TWO DOGS", "THE STREET IS BIG.",
    )),
    OddLine("capitals", "STOP", upper=True),
    OddLine("capitals", "CLICK {name} NOW.", ("{name}",)),
    OddLine("capitals", "THE ROPE IS 10 µm LONG.", ("10 µm",)),
    OddLine("capitals", "I am NOT tired.", reads="I am not tired."),
    *(OddLine("title", text, sentences=1) for text in (
        "Two Dogs Are Running Through The Snow", "A Man Is Playing The Guitar", "# The Old House",
    )),
    # Characters
    OddLine("invisible", "The ca\xadt sle\xadeps.", reads="The cat sleeps."),
    OddLine("invisible", "I\u200b am\u200d tired.", reads="I am tired."),
    OddLine("invisible", "\ufeffI love you.", ends="."),
    OddLine("invisible", "I \u202alove\u202c you.", reads="I love you."),
    OddLine("compatibility", "The ﬁsh is good.", reads="The fish is good."),
    OddLine("compatibility", "The ﬂoor is ｗｅｔ.", reads="The floor is wet."),
    OddLine("compatibility", "I\u2009am\u00a0tired.", reads="I am tired."),
    OddLine("compatibility", "The x² is ½ good.", ("x²", "½")),
    OddLine("replacement", "A \ufffd dog.", ("\ufffd",)),
    # Sentences
    OddLine("sentences", "I am tired.Good night.", sentences=2),
    OddLine("sentences", "Hello!How are you?I am fine.", sentences=3),
    OddLine("sentences", "Dr. Smith and Mrs. Jones are tired.", sentences=1),
    OddLine("sentences", "J. K. Rowling met John F. Kennedy.", sentences=1),
    OddLine("sentences", "See https://example.org/a. Then go to v1.2.3. Good.", ("https://example.org/a", "v1.2.3"), sentences=3),
    OddLine("sentences", "It is 3.5 dollars. It is good.", ("3.5",), sentences=2),
    OddLine("sentences", "One line.\\nTwo lines.", ("\\n",), sentences=2),
    OddLine("sentences", "<p>One dog.</p><p>Two dogs.</p>", ("<p>", "</p>"), sentences=2),
)  # fmt: skip
