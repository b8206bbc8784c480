"""The package's data: published tables, zoo manifests, JSON schemas and the null law."""

import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


def read_schema(name: str) -> dict[str, Any]:
    """Returns the JSON Schema (draft 2020-12) of `name`.json: a report, a comparison or a zoo."""
    text = (HERE / "schemas" / f"{name}.schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def read_text(name: str) -> str:
    """Returns the text of the file `name`."""
    return (HERE / name).read_text(encoding="utf-8")
