"""Write the generated files of docs: config.md, schema, asyncapi.json, openapi.json."""

import argparse
import shutil
from pathlib import Path
from typing import Any, Final

import msgspec

from edgepose.config import reference
from edgepose.mqtt import asyncapi
from edgepose.web import openapi

DOCS: Final = Path(__file__).parent.parent / "docs"


def pages() -> dict[str, str]:
    """Return the text of each generated file, by its path in `docs`."""
    found = {f"schema/{name}.json": _json(schema) for name, schema in asyncapi.schemas().items()}
    found["asyncapi.json"] = _json(asyncapi.asyncapi())
    found["openapi.json"] = _json(openapi.document())
    found["config.md"] = reference.markdown()
    return found


def _json(value: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n"


def main() -> None:
    """Write them, and take away schemas of what is no more."""
    shutil.rmtree(DOCS / "schema", ignore_errors=True)
    (DOCS / "schema").mkdir()
    for path, text in pages().items():
        (DOCS / path).write_text(text, encoding="utf-8")
        print(f"docs/{path}")


if __name__ == "__main__":
    argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0]).parse_args()
    main()
