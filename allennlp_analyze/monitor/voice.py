"""What the monitor says in the log: each thing once."""

import logging
from collections.abc import Iterable, Sequence

from allennlp_analyze.errors import AnalyzeError
from allennlp_analyze.text.lines import one_line
from allennlp_analyze.text.lists import enumerated
from allennlp_analyze.text.names import printable

logger = logging.getLogger("allennlp_analyze.monitor")

_NAMES_SHOWN = 3


class Voice:
    """Logs warnings, and remembers what it has said: `said` is fit for a checkpoint."""

    def __init__(self) -> None:
        self.said: set[tuple[str, str]] = set()

    def warn(self, line: str) -> None:
        logger.warning("%s", printable(line))

    def warn_once(self, about: str, line: str) -> None:
        if ("warned", about) not in self.said:
            self.said.add(("warned", about))
            self.warn(line)

    def warn_of_failure(self, what: str, error: Exception) -> None:
        """Log an error of the monitor, which must not end the training."""
        logger.debug("%s", what, exc_info=True)
        kind = "" if isinstance(error, AnalyzeError) else f"{type(error).__name__}: "
        self.warn_once(what, f"{what} ({kind}{one_line(error)}); training continues")

    def warn_of_invalid(self, names: Sequence[str]) -> None:
        """Log one line for all newly invalid layers. Those that are valid again may be so anew."""
        known = {name for kind, name in self.said if kind == "invalid"}
        new = [name for name in names if name not in known]
        self.said -= {("invalid", name) for name in known.difference(names)}
        self.said.update(("invalid", name) for name in new)
        if new:
            shown = enumerated(new, _NAMES_SHOWN)
            holds = "contains" if len(new) == 1 else "contain"
            self.warn(f"{shown}: {holds} NaN or infinity")

    def warn_of_first(self, states: Iterable[tuple[str, str, str]]) -> None:
        """Log one line for all layers that were not healthy at their first check.

        Each is (its name, its state, the sentence that would be said of it alone).
        """
        found = list(states)
        if len(found) == 1:
            self.warn(found[0][2])
        elif found:
            names = enumerated([name for name, _, _ in found], _NAMES_SHOWN)
            kinds = ", ".join(dict.fromkeys(state for _, state, _ in found))
            self.warn(
                f"{len(found)} layers were already {kinds} at their first check"
                f" and will not be warned of again: {names}"
            )
