"""Manifests written for a test, read or refused."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from allennlp_analyze.errors import UsageError
from allennlp_analyze.zoo.manifest.reading import ZooEntry, read_manifest

DIGEST = "0123456789abcdefABCDEF" + "0" * 42
URL = "https://example.org/models/a.tar.gz"


# Any text but what a file in UTF-8, or YAML, cannot hold.
TEXTS = st.text(
    st.characters(
        exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff\ufeff\u2028\u2029"
    ),
    min_size=1,
    max_size=20,
).filter(str.strip)
# `write` gives every example its own contents.
SAME_DIRECTORY = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def write(directory: Path, text: "str | bytes", name: str = "zoo.yaml") -> str:
    path = directory / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def entries(directory: Path, text: "str | bytes", name: str = "zoo.yaml") -> "tuple[ZooEntry, ...]":
    return read_manifest(write(directory, text, name)).entries


def refusal(directory: Path, text: "str | bytes", name: str = "zoo.yaml") -> str:
    """What follows the manifest's name in the one line that refuses it."""
    path = write(directory, text, name)
    with pytest.raises(UsageError) as caught:
        read_manifest(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message and len(message) < 700
    assert caught.value.exit_code == 2
    return message[len(path) + 2 :]
