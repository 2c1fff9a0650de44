"""The pages that people read, taken apart for the tests of them."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
GUIDE = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
LINKING = [
    *GUIDE,
    ROOT / "CHANGELOG.md",
    ROOT / "vit/models/article.md",
    *sorted((ROOT / "experiments").glob("*/README.md")),
]


def name_of(page):
    return page.relative_to(ROOT).as_posix()


def fences(text):
    return re.findall(r"^```[^\n]*\n(.*?)^```", text, flags=re.M | re.S)


def prose(text):
    return re.sub(r"^```[^\n]*\n.*?^```", "", text, flags=re.M | re.S)


def spans(text):
    """What stands between backticks, a line break within it read as a blank."""
    return [span.replace("\n", " ") for span in re.findall(r"`([^`]+)`", prose(text))]


def links(text):
    return re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "code", prose(text)))
