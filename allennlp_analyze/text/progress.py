"""Progress bars on standard error: shown on a terminal only, and nothing stays of them."""

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    from tqdm import tqdm


def shows_progress(quiet: bool) -> bool:
    """Whether a bar may be drawn: standard error is a terminal, and the user did not say quiet."""
    return not quiet and sys.stderr.isatty()


class Progress:
    """What moves a bar on, whether or not it is drawn."""

    def __init__(self, bar: "tqdm") -> None:
        self._bar = bar

    def advance(self, amount: int = 1, note: str = "") -> None:
        """`amount` more is done; a `note` stands behind the bar from now on."""
        if note:
            self._bar.set_postfix_str(note, refresh=False)
        self._bar.update(amount)

    def restart(self, total: Optional[int]) -> None:
        """Nothing is done, of `total`, or of nobody knows how much."""
        self._bar.reset(total=total)


@contextlib.contextmanager
def progress_bar(
    unit: str,
    total: Optional[int] = None,
    *,
    quiet: bool,
    done: int = 0,
    title: str = "",
) -> Iterator[Progress]:
    """A bar that is at `done` of `total`, which is None where it is not known yet.

    `unit` is what is counted; bytes ("B") are shown as K, M or G, in powers of 1024. `title` stands
    before the bar and must be printable.
    """
    from tqdm import tqdm

    bar = tqdm(
        desc=title,
        total=total,
        initial=done,
        unit=unit,
        unit_scale=unit == "B",
        unit_divisor=1024 if unit == "B" else 1000,
        disable=not shows_progress(quiet),
        file=sys.stderr,
        leave=False,
    )
    with bar:
        yield Progress(bar)
