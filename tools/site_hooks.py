"""Hooks of mkdocs.

Every command gets its page in the menu, links out of docs become names, and a page that loads
something from the network ends the build.
"""

import posixpath
import re
from typing import Any, Final

FENCE: Final = re.compile(r"^(\s*```\w+) [\w -]+$", re.MULTILINE)
"""A code block whose language is followed by a word for the tests."""

LINK: Final = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)#\s:]+)(#[^)\s]*)?\)")

LOADED: Final = re.compile(
    r"<(?:script|img|iframe|video|source)\b[^>]*\bsrc=[\"']?(?:https?:)?//[^>]*>"
    r"|<link\b[^>]*\bstylesheet\b[^>]*\bhref=[\"']?(?:https?:)?//[^>]*>"
)
"""A part of a page that comes from the network."""


def on_config(config: Any) -> Any:
    """Put the pages of all commands into the menu; called by mkdocs."""
    from edgepose.cli import COMMANDS

    reference = next(item["Reference"] for item in config["nav"] if "Reference" in item)
    commands = next(
        item["Commands"] for item in reference if isinstance(item, dict) and "Commands" in item
    )
    commands[1:] = [{name: f"commands/{name}.md"} for name in COMMANDS]
    return config


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Replace links that lead out of the documentation; called by mkdocs."""
    folder = posixpath.dirname(page.file.src_uri)

    def replaced(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join("docs", folder, link[2]))
        if target.startswith("docs/"):
            return link[0]
        if target in link[1]:
            return f"`{target}`"
        return f"{link[1]} (`{target}`)"

    return LINK.sub(replaced, FENCE.sub(r"\1", markdown))


def on_post_page(output: str, *, page: Any, **_: Any) -> str:
    """Refuse a page that needs the network; called by mkdocs."""
    if found := LOADED.search(output):
        msg = f"{page.file.src_uri} loads from the network: {found[0]}"
        raise ValueError(msg)
    return output
