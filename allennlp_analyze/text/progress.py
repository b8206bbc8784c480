"""Progress bars on standard error: shown only on a terminal, and removed at the end."""

import contextlib
import sys
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    from tqdm import tqdm


def shows_progress(quiet: bool) -> bool:
    """Whether to draw a bar: standard error is a terminal, and `quiet` is not set."""
    return not quiet and sys.stderr.isatty()


class Progress:
    """Advances a bar, whether or not it is drawn."""

    def __init__(self, bar: "tqdm") -> None:
        self._bar = bar

    def advance(self, amount: int = 1, note: str = "") -> None:
        """Advance by `amount`; a `note` is shown after the bar from now on."""
        if note:
            self._bar.set_postfix_str(note, refresh=False)
        self._bar.update(amount)

    def restart(self, total: Optional[int]) -> None:
        """Start again at 0 of `total`, which is None if unknown."""
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
    """Show a bar at `done` of `total`, which is None if not known yet.

    `unit` is the counted unit; bytes ("B") are shown as K, M or G, in powers of 1024. `title` is
    shown before the bar and must be printable.
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


class CostProgress:
    """Advances a bar by what each item costs."""

    def __init__(self, bar: "tqdm", unit: str, costs: Sequence[float], done: int) -> None:
        self._bar = bar
        self._unit = unit
        self._costs = costs
        self._done = done

    def finished(self, index: int) -> None:
        """Advance by the item `index`."""
        self._done += 1
        self._bar.set_description_str(_counted(self._done, self._costs, self._unit), refresh=False)
        self._bar.update(self._costs[index])


def _counted(done: int, costs: Sequence[float], unit: str) -> str:
    return f"{done}/{len(costs)} {unit}"


@contextlib.contextmanager
def progress_by_cost(
    unit: str, costs: Sequence[float], *, quiet: bool, done: Collection[int] = ()
) -> Iterator[CostProgress]:
    """Show a bar over items of these `costs`, those with an index in `done` finished.

    Their number is shown, but the share and the time left are those of the costs, at the speed so
    far.
    """
    from tqdm import tqdm

    bar = tqdm(
        desc=_counted(len(done), costs, unit),
        total=sum(costs) or 1.0,
        initial=sum(costs[index] for index in done),
        bar_format="{percentage:3.0f}%|{bar}| {desc} [{elapsed}<{remaining}]",
        smoothing=0,
        disable=not shows_progress(quiet),
        file=sys.stderr,
        leave=False,
    )
    with bar:
        yield CostProgress(bar, unit, costs, len(done))
