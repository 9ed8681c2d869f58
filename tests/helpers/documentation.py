"""The pages of the documentation and their blocks of code."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_REASON = re.compile(r"<!-- not executed: (.+) -->\n$")


@dataclass
class Block:
    """A fenced block: its page, the line of its text, its language, and why it is not executed, if so."""

    page: Path
    line: int
    language: str
    text: str
    reason: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pages() -> list[Path]:
    """All Markdown pages that people write or read."""
    found = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "config/README.md"]
    return sorted(found)


def blocks(*languages: str) -> list[Block]:
    """The blocks of all pages, in order."""
    found = []
    for page in pages():
        text = page.read_text()
        for match in _FENCE.finditer(text):
            reason = _REASON.search(text[: match.start()])
            line = text[: match.start()].count("\n") + 2
            found.append(Block(page, line, match[1], match[2], reason[1] if reason else ""))
    return [block for block in found if not languages or block.language in languages]
