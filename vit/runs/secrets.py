"""Words that look like keys and passwords are blacked out of what a run writes down."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

BLACK = "***"
# What a key looks like by itself.
KEYS = re.compile(
    r"""
    -----BEGIN\ [A-Z\ ]*PRIVATE\ KEY-----(?:.*?-----END\ [A-Z\ ]*PRIVATE\ KEY-----|.*)
    | \b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b           # AWS
    | \bgh[pousr]_[A-Za-z0-9]{20,} | \bgithub_pat_\w{20,}
    | \bglpat-[\w-]{16,}                                # GitLab
    | \bhf_[A-Za-z0-9]{20,}                             # Hugging Face
    | \bwandb_v\d_[\w-]{20,} | \blocal-(?:[\w.]{1,40}-)?[0-9a-f]{40}\b
    | \bsk-[A-Za-z0-9_-]{16,}                           # OpenAI and those like it
    | \bsk_(?:live|test)_[A-Za-z0-9]{16,}
    | \bxox[abeoprs]-[\w-]{10,} | \bAIza[\w-]{35}
    | \bnpm_[A-Za-z0-9]{30,} | \bpypi-[\w-]{30,}
    | \beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]+              # JSON web tokens
    """,
    re.VERBOSE | re.DOTALL,
)
ADDRESS = re.compile(
    r"(?<=://)[^\s/@:'\"]{0,99}:[^\s/@'\"]{1,200}(?=@)|(?<=://)[^\s/@:'\"]{16,200}(?=@)"
)
BEARER = re.compile(r"(?i)(?<=\bbearer )[\w.~+/=-]{8,}|(?<=\bbasic )[\w+/]{12,}={0,2}")
# A name that says what its value is, and the value behind it.
_WORD = r"""(?P<value>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|[^\s,;'"&)\]}]+)"""
PASSWORD_NAMES = r"password|passwd|passphrase|pwd|secret"
KEY_NAMES = (
    r"api[_-]?key|access[_-]?key|secret[_-]?key|secret[_-]?access[_-]?key|private[_-]?key|"
    r"auth[_-]?token|token|credentials?|wandb[_-]?key"
)
_IS = r"(?P<between>['\"]?\s{0,8}[=:](?!=)\s{0,8})"
_OPTION = r"(?<![\w-])(?P<name>--[\w-]{0,40}?"
# Passwords may be any word; of the others only what has the length of a key and a digit.
NAMED = (
    (re.compile(rf"(?i)(?P<name>{PASSWORD_NAMES}){_IS}{_WORD}"), 1),
    (re.compile(rf"(?i){_OPTION}(?:{PASSWORD_NAMES}))(?P<between>\s+)(?!-)(?P<value>\S+)"), 1),
    (re.compile(rf"(?i)(?P<name>{KEY_NAMES}){_IS}{_WORD}"), 8),
    (re.compile(rf"(?i){_OPTION}(?:{KEY_NAMES}))(?P<between>\s+)(?!-)(?P<value>\S+)"), 8),
)
SUSPECT = ("pass", "pwd", "secret", "key", "token", "credential")
NO_SECRETS = re.compile(r"(?i)[-+.\d]*|true|false|null|none|\$\{.*|\$\w+|\*+|<.*")


def blacked_out(text: str) -> str:
    """The text with *** for keys by their form, and for values by the name before them."""
    text = KEYS.sub(BLACK, text)
    text = BEARER.sub(BLACK, ADDRESS.sub(BLACK, text))
    # The rest takes a second for a megabyte, and is for few lines of it.
    return "\n".join(_named_blacked_out(part) if secret else part for secret, part in _parts(text))


def _parts(text: str) -> Iterator[tuple[bool, str]]:
    """The text in parts of whole lines, and whether a part may hold a secret by its name: a line
    with such a word, with all that follows up to the end of the next line that is not blank."""
    lines = text.split("\n")
    at, secret, wanted = 0, False, False  # `wanted`: the value may stand in the next line
    for number, line in enumerate(lines):
        low = line.lower()
        suspect = any(word in low for word in SUSPECT)
        if (suspect or wanted) != secret:
            if number > at:
                yield secret, "\n".join(lines[at:number])
            at, secret = number, not secret
        wanted = suspect or (wanted and not line.strip())
    yield secret, "\n".join(lines[at:])


def _named_blacked_out(text: str) -> str:
    for pattern, shortest in NAMED:
        text = pattern.sub(partial(_without, shortest=shortest), text)
    return text


def _without(match: re.Match[str], shortest: int) -> str:
    value = match["value"]
    plain = value.strip("'\"")
    code = "(" in plain or "[" in plain  # os.environ["TOKEN"], getpass()
    looks_like_one = shortest == 1 or any(letter.isdigit() for letter in plain)
    if len(plain) < shortest or code or NO_SECRETS.fullmatch(plain) or not looks_like_one:
        return match[0]
    quote = value[0] if value[0] in "'\"" else ""
    return f"{match['name']}{match['between']}{quote}{BLACK}{quote}"


def concealed(text: str, values: Mapping[str, str]) -> str:
    """Blacked out, and each of `values` (value → name) replaced by its name."""
    for value, name in values.items():
        text = text.replace(value, name)
    return blacked_out(text)


def without_secrets(node: object, key: str = "") -> Any:
    """The same for all text of a config or a small file; a key's name counts as in `key=value`."""
    if isinstance(node, Mapping):
        return {name: without_secrets(value, str(name)) for name, value in node.items()}
    if isinstance(node, list):
        return [without_secrets(value, key) for value in node]
    if not isinstance(node, str):
        return node
    by_its_key = {f"{key}={quote}{BLACK}{quote}" for quote in "'\""}
    return BLACK if key and blacked_out(f"{key}={node!r}") in by_its_key else blacked_out(node)
