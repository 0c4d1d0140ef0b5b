"""The documentation: its generated parts are current, its console blocks run, its links lead on.

What fails here for being out of date is brought up to date by ``python -m tools.gendocs``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from genkit.registry import commands
from tools.gendocs import blocks, cards, console, options
from tools.gendocs.contents import navigation
from tools.gendocs.pages import DOCS, README, ROOT, pages, refresh

CURE = "out of date: python -m tools.gendocs"
PAGES = [pytest.param(path, id=path.relative_to(ROOT).as_posix()) for path in pages()]
RUNNING = [param for param in PAGES if console.steps(param.values[0].read_text())]


@pytest.mark.parametrize("path", PAGES)
def test_generated_blocks_are_current(path: Path) -> None:
    assert path.exists(), CURE
    assert refresh(path, run=False) == path.read_text(), CURE


@pytest.mark.parametrize("path", RUNNING)
def test_console_blocks_print_what_the_page_says(path: Path) -> None:
    text = path.read_text()
    assert console.refresh(text) == text, CURE


@pytest.mark.parametrize("name", commands())
def test_every_command_has_a_page_with_all_of_its_options(name: str) -> None:
    text = (DOCS / "commands" / f"{name}.md").read_text()
    assert ("options", name) in blocks.find(text)
    assert f"(commands/{name}.md)" in (DOCS / "index.md").read_text()
    lines = [name] if name != "models" else [f"models {sub}" for sub in ("list", "show", "verify")]
    for line in lines:
        found = options.names(line)
        assert {"--quiet", "--help"} <= found or name == "info"
        for option in found:
            assert re.search(rf"\*\*`[^`\n]*(?<![\w-]){re.escape(option)}(?![\w-])", text), option


def test_every_shipped_model_has_a_card_page() -> None:
    assert len(cards.shipped()) > 10
    for card in cards.shipped():
        name = f"{card.parent.parent.name}/{card.parent.name}"
        assert ("card", name) in blocks.find(cards.page(card).read_text())


def test_every_page_is_in_the_navigation_once() -> None:
    listed = re.findall(r"'([^']+\.md)'", str(navigation()))
    assert sorted(listed) == sorted(p.relative_to(DOCS).as_posix() for p in DOCS.rglob("*.md"))


def _links(text: str) -> Iterator[str]:
    without_code = re.sub(r"^```.*?^```$|`[^`\n]*`", "", text, flags=re.S | re.M)
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code):
        if "://" not in target:
            yield target


def _anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", text, flags=re.S | re.M), re.M)
    plain = (re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading).strip().replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("path", [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"])
def test_relative_links_lead_to_files_and_headings(path: Path) -> None:
    for link in _links(path.read_text()):
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.is_relative_to(ROOT), link
        assert target.exists(), link
        assert not anchor or anchor in _anchors(target.read_text()), link


def test_the_places_that_contributing_names_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    table = text[text.index("## Where would I look for") :].partition("\n## ")[0]
    places = re.findall(r"`((?:genkit|export|tests|tools|docs)/[^`]*)`", table)
    assert len(re.findall(r"^\| ", table, re.M)) > 20
    assert [p for p in places if "NAME" not in p and not list(ROOT.glob(p.rstrip("/")))] == []


def test_a_link_to_nowhere_is_found() -> None:
    assert list(_links("[a](b.md#c) `[d](e)` [f](https://g)")) == ["b.md#c"]
    assert _anchors("# A [link](x): *b*, `c`!\n") == {"a-link-b-c"}


def test_the_readme_is_short_and_shows_every_command() -> None:
    text = README.read_text()
    assert len(text.splitlines()) <= 150
    for name in commands():
        assert f"(docs/commands/{name}.md)" in text


@pytest.mark.parametrize("path", PAGES)
def test_console_blocks_have_commands_and_reasons_not_to_run_them(path: Path) -> None:
    text = path.read_text()
    assert all(body.startswith("$ ") for body in re.findall(r"^```console\n(.*)", text, re.M))
    assert text.count("<!-- not run: ") == len(
        re.findall(r"^<!-- not run: \w[^\n]+ -->\n```console$", text, re.M)
    )


@pytest.mark.parametrize("path", PAGES)
def test_hand_written_text_has_the_words_of_the_field(path: Path) -> None:
    text = blocks.Block.sub("", path.read_text())
    text = re.sub(r"^```.*?^```$|`[^`\n]*`|\]\([^)]*\)", "", text, flags=re.S | re.M)
    assert re.findall(r"\b(?:pictures?|judges?|judged)\b", text, re.I) == []


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        (["0.8466\tcat"], ["0.8467\tcat"], True),
        (["0.8466\tcat"], ["0.7466\tcat"], False),
        (["0.8466\tcat"], ["0.8466\tdog"], False),
        (["-45.8"], ["-45.2"], True),
        (["3 files"], ["4 files"], False),
        (["a", "...", "d"], ["a", "b", "c", "d"], True),
        (["a", "..."], ["b"], False),
        ([], ["a"], False),
        (["a"], [], False),
    ],
)
def test_outputs_match_but_for_rounding(
    expected: list[str], printed: list[str], same: bool
) -> None:
    assert console.matches(expected, printed) is same


def test_a_wrong_output_is_replaced_and_a_block_that_may_not_run_is_left() -> None:
    page = (
        "```console\n$ printf 'a\\nb\\n'\na\nc\n$ genkit --version | tr g G\n```\n"
        "<!-- not run: harmful -->\n```console\n$ exit 1\nx\n```\n"
    )
    after = console.refresh(page)
    assert "$ printf 'a\\nb\\n'\na\nb\n$ genkit --version | tr g G\nGenkit " in after
    assert after.endswith("```console\n$ exit 1\nx\n```\n")
    assert next(step.command for step in console.steps(page)) == "printf 'a\\nb\\n'"


def test_a_command_alone_runs_in_the_folder_of_the_page() -> None:
    page = "```console\n$ genkit classify --top 1 missing.jpg\nx\n$ ls\nphoto.jpg\nphotos\n```\n"
    assert "genkit: missing.jpg: No such file" in console.refresh(page)


def test_help_text_is_not_taken_for_markup(tmp_path: Path) -> None:
    text = options.reference(tmp_path, "fill")
    assert "default: (all that the process may use); x&gt;=1]*" in text
    assert "**`-h, --help`**" in text


def test_an_unknown_generator_and_a_lost_section_are_errors() -> None:
    with pytest.raises(KeyError, match="nothing"):
        blocks.refresh("<!-- generated: nothing -->\n<!-- /generated -->", README)
    with pytest.raises(ValueError, match="no section"):
        blocks.refresh(
            "<!-- generated: section CONTRIBUTING.md Nothing -->\n<!-- /generated -->", README
        )
