"""Which addresses name a repository of the Hub."""

from typing import Optional

import pytest

from allennlp_analyze.sources.download.hub import Address, address_of


@pytest.mark.parametrize(
    ("archive", "expected"),
    [
        ("hf://org/name", Address("org/name")),
        ("HF://org/name/", Address("org/name")),
        ("hf://gpt2", Address("gpt2")),
        ("hf://org/name@v1.0", Address("org/name", "v1.0")),
        ("hf://org/name@refs/pr/1", Address("org/name", "refs/pr/1")),
        ("hf://gpt2/model.safetensors", None),
        ("hf://org/name/model.safetensors", None),
        ("hf://org/../name", None),
        ("hf://datasets/org", None),
        ("https://huggingface.co/org/name", Address("org/name")),
        ("https://huggingface.co/org/name/?x=1#y", Address("org/name")),
        ("https://huggingface.co/org/name/tree/v1", Address("org/name", "v1")),
        ("https://huggingface.co/org/name/resolve/main/model.bin", None),
        ("https://huggingface.co/datasets/org", None),
        ("https://huggingface.co.evil.example/org/name", None),
        ("https://example.org/org/name", None),
        ("some/path", None),
    ],
)
def test_addresses(archive: str, expected: Optional[Address]) -> None:
    assert address_of(archive) == expected
