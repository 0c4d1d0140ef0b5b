r"""The kinds of spans that are no language, as a table: the first row that fits wins.

A pattern has no named groups and no references to groups. How a span takes part in its
sentence is its ``Role``; a ``copied`` kind is one that models mostly copy by themselves, so it
is left in place at first, and only guarded where it did not come back.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

__all__ = ["KINDS", "Kind", "Role"]


class Role(enum.Enum):
    """What a span is in its sentence."""

    NOUN = "noun"
    """It stands for a thing, as a word does: ``{name}``, a URL, an amount."""
    MARK = "mark"
    """It stands beside the words: a tag, an emoji, ``**``. At an end it is set aside."""
    BREAK = "break"
    """A mark that no sentence goes across: ``<br>``, ``</p>``."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A row of the table."""

    name: str
    role: Role
    pattern: str
    copied: bool = False


_BREAKING = (
    "address|article|aside|blockquote|br|caption|dd|div|dl|dt|fieldset|figcaption|figure|footer|"
    "form|h[1-6]|head|header|hr|html|body|legend|li|main|nav|ol|option|p|pre|script|section|style|"
    "table|tbody|td|tfoot|th|thead|title|tr|ul"
)
_ATTRIBUTES = r"""(?:\s+(?:[^<>"']|"[^"]*"|'[^']*')*)?"""
_TLDS = "com|org|net|edu|gov|info|biz|io|dev|app|ai|co|me|tv|eu|de|fr|uk|at|ch|it|es|nl|be|pl|se|ru|cn|jp|us|ca|au"
_FILES = (
    "[ch]|cc|cpp|hpp|cs|css|csv|conf|cfg|dat|db|dll|docx?|deb|dmg|env|epub|exe|flac|gif|go|gz|"
    "html?|ico|ini|ipynb|iso|jar|java|jpe?g|js|json|jsx|kt|lock|log|lua|md|mk|mkv|mov|mp[34]|"
    "odt|ogg|onnx|otf|pdf|php|pl|png|po|pot|pptx?|ps1|pyc?|r[bs]|rpm|rst|rtf|safetensors|scss|sh|"
    "so|sql|srt|svg|swift|tar|tex|tgz|tiff?|toml|tsv|tsx?|ttf|txt|vtt|wav|webp|whl|wasm|woff2?|"
    "xlsx?|xml|xz|ya?ml|zip|zst"
)
_UNITS = (
    "[nµμmck]?m[²³23]?|[µμm]?g|kg|[mcd]?l|[kMGT]i?B|[kMGT]bit/s|[kMGT]?Hz|[kM]?W|kWh|mA|m?V|"
    "[mµμn]s|dpi|fps|px|pt|rpm|km/h|mph|kcal|mol|dB|°[CF]?"
)
_SPACE = "[ \u00a0\u2009\u202f]"
_NUMBER = r"\d+(?:[.,’']\d{3})*(?:[.,]\d+)?|\d{1,3}(?:[\u00a0\u2009\u202f]\d{3})+(?:[.,]\d+)?"
_SIGN = r"(?:(?<![\w.,)\]])[-+−±~≈])?"
_CURRENCY = "(?:US|CA|AU)?[$€£¥₹₽₩¢]"
_CODES = "EUR|USD|GBP|CHF|JPY|CNY|INR|CAD|AUD|SEK|NOK|DKK|PLN"
_SYMBOLS = "\u00a9\u00ae\u2122\u2190-\u21ff\u2300-\u23ff\u2460-\u27bf\u2900-\u297f\u2b00-\u2bff\u3030\u303d\u3297\u3299"
_PICTURE = rf"[{_SYMBOLS}\U0001f000-\U0001f1e5\U0001f200-\U0001faff][\U0001f3fb-\U0001f3ff]?\ufe0f?\u20e3?[\U000e0020-\U000e007f]*"
EMOJI = (
    r"(?:[\U0001f1e6-\U0001f1ff]{2}|[0-9#*]\ufe0f?\u20e3|"
    rf"{_PICTURE}(?:\u200d{_PICTURE})*)"
)

NOUN, MARK, BREAK = Role.NOUN, Role.MARK, Role.BREAK
KINDS: tuple[Kind, ...] = (
    Kind("escape", MARK, r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])"),
    Kind("inline code", NOUN, r"```[^\n]+?```+|``[^\n]+?``(?!`)|`[^`\n]+`"),
    Kind("autolink", NOUN, r"<(?:[A-Za-z][A-Za-z0-9+.-]{1,9}://|mailto:)[^<>\s]+>|<[\w.+%-]+@[\w.-]+>"),
    Kind("URL", NOUN, r"(?:\b[A-Za-z][A-Za-z0-9+.-]{1,9}://|\bwww\.|\bmailto:|\btel:)"
         r"(?:[^\s<>\"“”`|\\^()\[\]]|\([^\s<>\"“”`|\\^()\[\]]*\))*(?:[\w/#=&%~@$+*{}-]|\([^\s()]*\))"),
    Kind("e-mail", NOUN, r"(?<![\w.+%-])[\w.+%-]+@\w(?:[\w-]*\w)?(?:\.\w(?:[\w-]*\w)?)+|(?<![\w.+%-])[\w.+-]+@\w[\w-]*(?::[~/]\S*)?"),
    Kind("template", MARK, r"<%.*?%>|<\?.*?\?>|<!--.*?-->|<!\[CDATA\[|\]\]>|<![A-Za-z][^<>]*>|\{%.*?%\}|\{#.*?#\}"),
    Kind("block tag", BREAK, rf"</?(?i:{_BREAKING})\b{_ATTRIBUTES}/?>"),
    Kind("tag", MARK, rf"&lt;/?[A-Za-z][^&<>]*&gt;|</?[A-Za-z][\w:.-]*{_ATTRIBUTES}/?>"),
    Kind("control token", MARK, r">>\w{2,8}<<|<\|\w+\|>|\[/?INST\]|<0x[0-9A-F]{2}>|\u2581+|\ufffd+"),
    Kind("line break", BREAK, r"(?<![\\:])(?:\\r)?(?:\\n|\\t)(?:\\r|\\n|\\t)*(?![a-z])"),
    Kind("entity", MARK, r"&(?:[A-Za-z][A-Za-z0-9]{1,30}|#\d{1,7}|#[xX][0-9A-Fa-f]{1,6});"),
    Kind("link", MARK, r"!?\[(?=[^\[\]\n]*\]\()|\]\([^()\s]*(?:\s+\"[^\"]*\")?\)|\[\^?\d{1,3}\]"),
    # Placeholders
    Kind("mustache", NOUN, r"\{\{\{?[^{}\n]*\}\}\}?"),
    Kind("shell variable", NOUN, r"[$#%@]\{[^{}\n]*\}|\$\([^()\n]*\)|\$[A-Za-z_]\w*|%[A-Z][A-Z_]+%"),
    Kind("ICU", NOUN, r"\{\s*[\w.-]+\s*,\s*(?:plural|select|selectordinal|number|date|time|choice|"
         r"ordinal|spellout|duration)\b(?:[^{}]|\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\})*\}"),
    Kind("placeholder", NOUN, r"\{[^{}\s]*\}|\{ ?[\w.]+ ?\}"),
    Kind("printf", NOUN, r"%\([^()\s]+\)[-+ #0]*\d*(?:\.\d+)?[diouxXeEfFgGcrsa]|"
         r"%(?:\d+\$)?[-+#0']*(?:\d+|\*)?(?:\.(?:\d+|\*))?(?:hh|h|ll|l|L|q|j|z|t)?"
         r"[diouxXeEfFgGaAcspn@](?:(?![a-z])|(?=x%))|(?<!\d)%%|(?<![\d\s])%L?[1-9]\b|(?<!\d)(?<!\d\s)%L?[1-9]\b"),
    Kind("symbol", NOUN, r"\b[a-z]{2,6}://|(?<![\w:.\"'/)\]}]):[A-Za-z_][\w-]*\b:?|::\w+"),
    # Places
    Kind("path", NOUN, r"\b[A-Za-z]:[\\/](?:[^\s\\/:*?\"<>|]+(?: [^\s\\/:*?\"<>|]+){0,2}[\\/])*(?:[^\s\\/:*?\"<>|]*[^\s\\/:*?\"<>|.,;!)\]'])?"
         r"|\\\\[\w.$-]+(?:\\[\w.$ -]*[\w$])+|%[A-Z]+%\\[\w\\.-]*\w"
         r"|(?<![\w/.])(?:~|\.{1,2})?/(?:[\w.@%+~:$*-]+/)*[\w.@%+~$*-]*\w/?"
         r"|(?<![\w/])~/|(?<![\w/.])\.{1,2}/"
         rf"|(?<![\w/])(?:[\w.@+-]+/)+[\w.-]*\w\.(?:{_FILES})\b|(?<![\w/])(?:[\w.@+-]+/)+(?=[\s,;:)]|$)"),
    Kind("file", NOUN, rf"(?i:(?<![\w.])[\w.+*-]*[\w*]\.(?:{_FILES}))\b(?!\.\w)|(?<![\w.])\.[a-z][\w-]{{2,}}(?:\.\w+)*\b"),
    Kind("domain", NOUN, rf"(?<![\w.@])(?:[A-Za-z0-9](?:[\w-]*\w)?\.)+(?:{_TLDS})\b(?:/(?:[^\s<>\"()]*[\w/])?)?"),
    Kind("option", NOUN, r"(?<![\w-])--[a-z][\w-]*(?:=[^\s,;)]+)?|(?<=\s)-[a-zA-HJ-Z](?=[\s,.;)]|$)"),
    Kind("choice", MARK, r"[(\[](?i:y|j|o)(?:es|a|ui)?/(?i:n)(?:o|ein|on)?[)\]]"),
    # Names of programs
    Kind("language", NOUN, r"\bC\+\+|\b[CFJ]#(?!\w)"),
    Kind("initials", NOUN, r"(?<![\w.])(?:[A-Z]\.){2,}(?!\w)", copied=True),
    Kind("name", NOUN, r"(?<![\w.])(?:[A-Z]\. ){2,5}[A-ZÀ-Þ][a-zß-ÿ]+\b"),
    Kind("keys", NOUN, r"\b(?:Ctrl|Control|Alt|Shift|Cmd|Command|Option|Win|Meta|Super|Fn|Strg)(?:\+(?:\w+|[^\w\s])|-(?:[A-Z\d]|F\d+)\b)+"),
    Kind("call", NOUN, r"(?<![\w.])[A-Za-z_]\w*(?:(?:\.|::|->)\w+)*(?:\(\)|\(\d[\d\s.,%]*\))"),
    Kind("identifier", NOUN, r"\b[A-Za-z0-9]+(?:_+[A-Za-z0-9]+)+_*|(?<!\w)__[A-Za-z]\w*__(?:\.\w+)*(?!\w)|(?<!\w)_[A-Za-z]\w*[A-Za-z0-9]\b(?!_)"
         r"|\b[a-z]+\d*(?:[A-Z][a-z0-9]*)+\b|\b[A-Z][a-z0-9]+(?:[A-Z][a-z0-9]+)+\b"
         r"|\b[A-Za-z_]\w*(?:::|->)\w+(?:(?:::|->)\w+)*"),
    Kind("formula", NOUN, r"\$\$[^$]+\$\$|\b\w+\^[\w{}+-]*\w|\$[^\s$\d](?:[^$\n]*[^\s$])?\$(?!\d)|\\[A-Za-z]{2,}(?:\{[^{}]*\})+|\\[a-z]{3,}\b"),
    Kind("mention", NOUN, r"(?<![\w@])@[A-Za-z](?:[\w./-]*\w)?|(?<![\w@])@\d+\b"),
    Kind("hash", NOUN, r"(?<![\w#&])#[\w-]*\w", copied=True),
    Kind("emoticon", MARK, r"(?<![^\s(])(?:[:;=]['’]?-?[)(\[\]DPpOo3|*]|:-?[/\\]|<3|\^_?\^|-_-|\\o/)(?![\w/])"),
    Kind("section", NOUN, r"§{1,2}\s?\d+\w?(?:[-–.]\d+){0,8}|[§¶†‡]"
         r"|\b(?:[Nn]os?|[Nn]r|[Ff]igs?|[Vv]ols?|[Cc]hap|[Ss]ec|[Aa]rt|[Ee]q|[Aa]bb|pp?|S)\. ?\d+(?:[-–.]\d+){0,8}\b"),
    # Numbers
    Kind("keycap", MARK, EMOJI + rf"(?:{_SPACE}?{EMOJI})*"),
    Kind("hexadecimal", NOUN, r"\b0[xX][0-9A-Fa-f]+\b|\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"
         r"|\b(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}\b"),
    Kind("ISBN", NOUN, r"\bISBN(?:-1[03])?:?\s*[\dX](?:[ -]?[\dX]){8,12}\b|\b97[89](?:[ -]?\d){9}[ -]?[\dX]\b"),
    Kind("date", NOUN, r"\b\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?\b"
         r"|\b\d{1,2}/\d{1,2}/\d{2,4}\b|\b\d{4}/\d{1,2}/\d{1,2}\b"
         r"|\b\d{1,2}\.\s?\d{1,2}\.(?:\s?\d{4}|\d{2})\b|\b\d{1,2}-\d{1,2}-\d{4}\b"),
    Kind("address", NOUN, r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+|/\d+)?\b|\b(?:[0-9A-Fa-f]{1,4}:){3,7}:?[0-9A-Fa-f]{1,4}\b"),
    Kind("version", NOUN, r"\bv?\d+\.\d+(?:\.\d+)+(?:[-+.]?[A-Za-z0-9]+)*\b|\b[vV]\d+(?:\.\d+)*(?:[-+.]?[A-Za-z0-9]+)*\b"),
    Kind("phone", NOUN, r"(?<![\w.+])\+\d(?:[\s()./-]{0,2}\d){6,14}\b|(?<![\w.])\(\d{2,5}\)[\s/-]?\d(?:[\s/-]?\d){4,11}\b"
         r"|(?<![\w.,])0\d{1,5}[\s/-]\d(?:[\s/-]?\d){3,11}\b|(?<![\w.,])\d{3}[-.]\d{3}[-.]\d{4}\b|(?<![\w.,-])\d{3}-\d{4}\b(?!-)"),
    Kind("time", NOUN, r"(?<![\d:])\d{1,2}:\d{2}(?::\d{2})?(?:[.,]\d{1,3})?(?![\d:])\b", copied=True),
    Kind("amount", NOUN, rf"\b\d+['′] ?\d{{1,2}}[\"″]|{_SIGN}{_CURRENCY}{_SPACE}?[-−]?(?:{_NUMBER})(?:[kKMB]|bn)?\b"
         rf"|\b(?:{_CODES}){_SPACE}(?:{_NUMBER})\b"
         rf"|{_SIGN}(?<![\w.,])(?:{_NUMBER}){_SPACE}?(?:{_CURRENCY}|[%‰](?!\w)|(?:{_CODES}|{_UNITS})(?!\w))"),
    Kind("signed number", NOUN, rf"(?<![\w.,)\]])[-+−±~≈](?:{_NUMBER})(?![\w])"),
    Kind("number", NOUN, rf"(?<![\w.,])(?:{_NUMBER})(?:[-–/:x×](?:{_NUMBER}))*(?!\w)(?!-[A-Za-z])", copied=True),
    Kind("fraction", NOUN, r"(?<![\w.])[\w.]*[¼-¾⅐-⅞²³¹⁰-⁹₀-₉]+\w*"),
    Kind("code", NOUN, r"\b(?!\d+(?:st|nd|rd|th|s|am|pm|e|er|re|ème|te[rnms]?)\b)"
         r"(?:[A-Za-z]+\d+[A-Za-z0-9]*|\d+[A-Za-z][A-Za-z0-9]*)\b|\b[A-Z][A-Za-z]*-\d+(?:-\d+)*\b", copied=True),
    Kind("blob", NOUN, r"[A-Za-z0-9+/=_-]{64,}"),
    # Marks
    Kind("emphasis", MARK, r"\*{1,3}(?=[^\s*])|(?<=[^\s*])\*{1,3}|~~|(?<![\w_])_{1,3}(?=[^\W_])|(?<=[^\W_])_{1,3}(?![\w_])|(?<=[.!?])_{1,3}(?!\w)"),
    Kind("sign", MARK, r"-{0,3}[<>=≤≥≠]+-{0,3}|[×÷±∓≈∞√∑∏∈∂∆\\]+|&&|\|\||(?<=[^\W\d_])/(?=[^\W\d_])|(?<=\s)[+*/^~](?=\s)|(?<=[>})])[+](?=[<{(])", copied=True),
    Kind("private use", MARK, r"[\ue000-\uf8ff]+"),
)  # fmt: skip
"""Where a kind is named in messages, the name is that of this table."""
