"""Where sentences end, by language: each row is one text, and joined its sentences are it."""

from __future__ import annotations

import pytest

from genkit.text import split_sentences
from genkit.text.spans import find_spans

ENGLISH = [
    ["- I am tired. ", "- Me too."],
    ["I am tired…", "Good night."],
    ["I am tired.", "Good night."],
    ["I am tired. ", "Good night."],
    ["Hello!", "How are you?", "I am fine.", "Thanks."],
    ["I am John.", "I live here.", "A dog barks."],
    ["Is he there?", "Yes."],
    ["John F. Kennedy met J. K. Rowling. ", "They talked."],
    ["Vote for John Q. Public. ", "He is good."],
    ["It was plan B. ", "Then we left."],
    ["It is vitamin C. ", "He takes it."],
    ["Mr. Smith, Mrs. Jones and Dr. Who came. ", "They sat down."],
    ["Sgt. Miller and Gov. Brown vs. Dr. Lee. ", "It was long."],
    ["See Fig. 3 and No. 5 on p. 12. ", "Then go."],
    ["He came at 5 p.m. ", "He left at 6 a.m. and slept."],
    ["The U.S. Army left. ", "Good."],
    ["It is 3.5 m. ", "Then it is 5 km."],
    ["It costs 1,234.50 dollars. ", "I paid."],
    ["Bring pens, paper, etc. ", "They are cheap."],
    ["Use e.g. a knife, i.e. a sharp one."],
    ["What?! ", "No... ", "Yes. ", "(Really.) ", "Ok."],
    ['"Stop!" he said. ', '"No." ', "She left."],
    ["Read node.js.Then at www.example.com. ", "Good."],
    ["Use ASP.NET or System.out.Print now. ", "Good."],
    ["Open file.txt. ", "Then close it."],
    ["See https://example.org/a.b?c=1. ", "Then go."],
    ["Take v1.2.3. ", "It works."],
    ["Hello {name}. ", "You have %d dogs."],
    ["Mr.Smith is here. ", "He waits."],
    ["I live on Main St. ", "It is long."],
    ["Run `a. B` now. ", "Good."],
    ["1. ", "First. ", "2. ", "Second."],
]
GERMAN = [
    ["Ich bin müde.", "Gute Nacht."],
    ["Am 5. Oktober kam Hr. Müller. ", "Er blieb."],
    ["Nr. 5 lebt, z. B. hier, bzw. dort usw. ", "Er kam."],
    ["Siehe Abb. 3, S. 12. ", "Das ist d. h. gut."],
    ["Der 3. Mann kam. ", "Dann ging er."],
    ["Ludwig XIV. war König. ", "Er war alt."],
    ["Karl d. Gr. war u. a. da. ", "Er ging."],
    ["Dr. Schmidt und Prof. Lee sind da. ", "Gut."],
    ["Es kostet 3,50 Euro. ", "Das ist viel."],
    ["Johann S. Bach lebte hier. ", "Es war kalt."],
    ["Schau auf www.example.de. ", "Dort steht es."],
    ["Wie geht es dir?", "Mir geht es gut."],
]
FRENCH = [
    ["Je suis fatigué.", "Bonne nuit."],
    ["M. Dupont est là. ", "Il attend."],
    ["Mme. Curie, p. ex., aussi. ", "Elle part."],
    ["Voir art. 5, n. 3. ", "Il part."],
    ["Le Dr. House et J.-P. Sartre parlent. ", "Il dort."],
    ["Il mange du pain, etc. ", "Il dort."],
    ["Ça coûte 3,50 euros. ", "C'est cher."],
    ["Où est-il ? ", "Il est là."],
]


@pytest.mark.parametrize(
    ("language", "sentences"),
    [
        (language, sentences)
        for language, rows in (("en", ENGLISH), ("de", GERMAN), ("fr", FRENCH))
        for sentences in rows
    ],
)
def test_a_text_is_cut_where_its_sentences_end(language: str, sentences: list[str]) -> None:
    text = "".join(sentences)
    assert split_sentences(text, language, find_spans(text)) == sentences
