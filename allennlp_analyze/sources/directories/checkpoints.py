"""Tells by their names which models are checkpoints of one training, and which stands for it."""

import json
import re
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Callable, Optional

from allennlp_analyze.sources.archive import MAX_TEXT_BYTES
from allennlp_analyze.sources.directories.layouts import natural
from allennlp_analyze.sources.formats.registry import without_ending
from allennlp_analyze.storage.files import open_regular

_WORD = r"(?<![a-z])(?:global[-_]?step|step|iter(?:ation)?|checkpoint|ckpt)s?"
_STEP = re.compile(_WORD + r"[-_=]?(\d+)", re.IGNORECASE)
_EPOCH = re.compile(r"(?<![a-z])(?:epoch|e|ep)[-_=]?(\d+)", re.IGNORECASE)
MAX_DIGITS = 18
# The numbers that alone make a name that of a checkpoint.
_MARK = re.compile(rf"(?:{_WORD}|(?<![a-z])epochs?)[-_=]?\d+", re.IGNORECASE)
# Numbers after these words differ between the checkpoints of one training, too.
_METRIC = re.compile(
    r"(?<![a-z])(?:loss|acc|accuracy|f1|bleu|rouge|ppl|perplexity|auc|mse|mae|wer|cer|iou|dice|map"
    r"|score|metric|reward|error)[-_=]?\d+(?:\.\d+)?",
    re.IGNORECASE,
)
_NUMBERS = re.compile(r"\d+(?:[.-]?\d+)*")
# AllenNLP writes these into the directory of the model, which also has a copy of the best one.
_ALLENNLP = re.compile(r"model_state_(e\d+_b\d+|epoch_[\d.-]+)\.th")
# A directory of a state, which may lie in that of the final model.
_DIRECTORY = re.compile(r"(checkpoint|epoch|step|global_step|iter)[-_]?\d+", re.IGNORECASE)
# Words in the name of a model that stands for its training, the first before the others.
_CHOSEN = {
    "best": "the best one",
    "final": "the final one",
    "last": "the last",
    "latest": "the last",
}
FINAL, _LAST = "the model in whose directory they are", "the last"
_RANKS = (FINAL, *dict.fromkeys(_CHOSEN.values()))
_NEUTRAL = frozenset("model checkpoint ckpt state weights val valid dev train".split())
_TRAINER_STATE, _BEST = "trainer_state.json", "best_model_checkpoint"


@dataclass(frozen=True)
class Training:
    """The checkpoints of one training, by their indexes.

    `chosen` stands for it, for the reason `why`; `others` are the rest in order. `pattern` is a
    glob of the numbered ones below `directory`, which has all of them.
    """

    directory: str
    pattern: str
    chosen: int
    others: tuple[int, ...]
    why: str

    @property
    def n_inside(self) -> int:
        """How many of its checkpoints lie below `directory`."""
        return len(self.others) + (self.why != FINAL)


@dataclass(frozen=True)
class _Name:
    """A path in parts: `directory`, the part `name` that tells the state, and what is in it."""

    directory: str
    name: str
    inside: str = ""

    @property
    def pattern(self) -> str:
        """The name with stars for the numbers of its state, "" if it has none."""
        if _ALLENNLP.fullmatch(self.name):
            return _NUMBERS.sub("*", self.name)
        if not _MARK.search(self.name):
            return ""
        return _METRIC.sub(_starred, _MARK.sub(_starred, self.name))

    @property
    def order(self) -> tuple[object, ...]:
        """Where it stands among those of the same pattern."""
        marks = () if _ALLENNLP.fullmatch(self.name) else _MARK.findall(self.name)
        return (*map(natural, marks), natural(self.name))

    @property
    def words(self) -> frozenset[str]:
        """The words that tell the training: without those that tell the state, and neutral ones."""
        return self._words - _NEUTRAL - _CHOSEN.keys()

    @property
    def called(self) -> str:
        """What a word in the name says of the state, "" if there is none."""
        return next((why for word, why in _CHOSEN.items() if word in self._words), "")

    @property
    def _words(self) -> frozenset[str]:
        if _ALLENNLP.fullmatch(self.name):
            return frozenset()
        plain = _METRIC.sub(" ", _MARK.sub(" ", without_ending(self.name)))
        return frozenset(re.findall(r"[^\W_]+", plain.lower()))

    @property
    def ending(self) -> str:
        return self.name[len(without_ending(self.name)) :]


def epoch_in(name: str) -> Optional[int]:
    """Returns the epoch that a name tells, or None."""
    return _number(_EPOCH, name)


def step_in(name: str) -> Optional[int]:
    """Returns the step that a name tells, or None."""
    return _number(_STEP, name)


def is_checkpoint_directory(name: str) -> bool:
    """Whether a directory of this name may be a state in the directory of the final model."""
    return _DIRECTORY.fullmatch(name) is not None


def states_of_allennlp(directory: Path) -> list[Path]:
    """Returns the states that AllenNLP keeps in the directory of a training, in order."""
    try:
        found = [path for path in directory.iterdir() if _ALLENNLP.fullmatch(path.name)]
    except OSError:
        return []
    return sorted((path for path in found if path.is_file()), key=lambda x: natural(x.name))


def trainings(places: Sequence[str], signature: Callable[[int], Hashable]) -> list[Training]:
    """Returns the trainings of which several of `places` are checkpoints.

    `places` are different paths or URLs with slashes. The checkpoints of a training lie in one
    directory, each as a file, as a directory, or in a directory of its own. Their names have
    numbers after a word such as step or epoch, and otherwise differ in metrics only. `signature`,
    called with the index of a place, returns the same for all of them.

    The model above its checkpoints stands for the training, or else what the trainer's own file
    calls the best, one beside them that is called best, final or last, or the last one.
    """
    return list(_Search(places, signature).trainings())


class _Search:
    """One call of `trainings`."""

    def __init__(self, places: Sequence[str], signature: Callable[[int], Hashable]) -> None:
        self._places = places
        self._signature = lru_cache(maxsize=None)(signature)
        self._by_place = {place: index for index, place in enumerate(places)}
        numbered = [next((x for x in _readings(place) if x.pattern), None) for place in places]
        # A directory with checkpoints is that of a training, whatever its name is.
        above = {name.directory for name in numbered if name is not None}
        self._names = {
            index: name
            for index, name in enumerate(numbered)
            if name is not None and places[index] not in above
        }
        self._named: dict[tuple[str, str], list[tuple[int, _Name]]] = {}
        for index, place in enumerate(places):
            found = self._names.get(index)
            for name in _readings(place) if found is None else (found,):
                if name.called:
                    self._named.setdefault((name.directory, name.inside), []).append((index, name))

    def trainings(self) -> Iterator[Training]:
        families = list(self._families())
        # The best of a training may have a number, too.
        alone = [x for x in families if len(x) == 1 and self._names[x[0]].called]
        pairs = [(x, self._beside(x)) for x in families if x not in alone]
        taken = {index for _, found in pairs for index in found}
        for family in alone:
            if family[0] not in taken:
                pairs.append((family, self._beside(family)))
                taken.update(pairs[-1][1])
        owners = Counter(index for family, found in pairs for index in (*family, *found))
        for family, found in pairs:
            # What may be of several is of none.
            own = {index: why for index, why in found.items() if owners[index] == 1}
            if len(family) + len(own) > 1:
                yield self._training(family, own)

    def _families(self) -> Iterator[list[int]]:
        """Yields the places that differ in their state only, in order; a family may have one."""
        by_name: dict[tuple[str, str, str], list[int]] = {}
        for index, name in self._names.items():
            by_name.setdefault((name.directory, name.pattern, name.inside), []).append(index)
        for members in by_name.values():
            alike: dict[Hashable, list[int]] = {}
            for index in members:
                # One alone is only compared with what may stand beside it.
                shapes = self._signature(index) if len(members) > 1 else None
                alike.setdefault(shapes, []).append(index)
            for family in alike.values():
                yield sorted(family, key=lambda x: self._names[x].order)

    def _beside(self, family: Sequence[int]) -> dict[int, str]:
        """Returns the models without a number that belong to a family, and what each is."""
        one = self._names[family[0]]
        found = {
            index: name.called
            for index, name in self._named.get((one.directory, one.inside), ())
            if (name.ending, name.words) == (one.ending, one.words) and index not in family
        }
        above = self._by_place.get(one.directory or ".")
        if above is not None:
            found[above] = FINAL
        like = self._signature(family[0]) if found else None
        return {index: why for index, why in found.items() if self._signature(index) == like}

    def _training(self, family: Sequence[int], beside: Mapping[int, str]) -> Training:
        last = self._names[family[-1]]
        names = {self._names[index].name: index for index in family}
        best = names.get(_best_of(Path(last.directory, last.name)))
        candidates = {**beside, family[-1]: last.called or _LAST}
        chosen, why = min(candidates.items(), key=lambda found: _RANKS.index(found[1]))
        if best is not None and why != FINAL:
            chosen, why = best, f"the best one by its {_TRAINER_STATE}"
        others = (*family, *sorted(beside, key=lambda x: -_RANKS.index(beside[x])))
        inside = f"/{last.inside}" if last.inside else ""
        return Training(
            directory=last.directory,
            pattern=f"{last.pattern}{inside}",
            chosen=chosen,
            others=tuple(index for index in others if index != chosen),
            why=why,
        )


def _readings(place: str) -> tuple[_Name, ...]:
    """Returns the ways to read a path: its last part, or the one before, tells the state."""
    above, _, name = place.rpartition("/")
    higher, _, parent = above.rpartition("/")
    return (_Name(above, name), *([_Name(higher, parent, name)] if parent else []))


def _starred(found: "re.Match[str]") -> str:
    return _NUMBERS.sub("*", found[0])


def _best_of(checkpoint: Path) -> str:
    """Returns the name of the directory that the file of Hugging Face's trainer calls the best."""
    try:
        with open_regular(checkpoint / _TRAINER_STATE) as file:
            state = json.loads(file.read(MAX_TEXT_BYTES))
        return PurePath(state[_BEST]).name
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return ""


def _number(pattern: "re.Pattern[str]", name: str) -> Optional[int]:
    found = pattern.search(name)
    return int(found[1]) if found is not None and len(found[1]) <= MAX_DIGITS else None
