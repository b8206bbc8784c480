"""Says how many rows an embedding may have, by the vocabularies and the configuration."""

import fnmatch
from collections.abc import Iterator, Mapping

from allennlp_analyze.sources.source import Source


def table_sizes(source: Source) -> Iterator[int]:
    """Yields the numbers of rows that an Embedding of this archive may have.

    AllenNLP writes the entries of a namespace, including the OOV token, one per line. It does not
    write the padding token of a padded namespace, so that Embedding has one more row.
    """
    for namespace, lines in source.vocabulary.items():
        padded = not any(fnmatch.fnmatch(namespace, pattern) for pattern in source.non_padded)
        yield lines + padded
    yield from _numbers_called(source.config, "num_embeddings")


def _numbers_called(node: object, key: str) -> Iterator[int]:
    """Yields every integer under `key` anywhere in a parsed configuration."""
    pending = [node]
    while pending:
        node = pending.pop()
        if isinstance(node, Mapping):
            number = node.get(key)
            if isinstance(number, int):
                yield number
            pending.extend(node.values())
        elif isinstance(node, list):
            pending.extend(node)
