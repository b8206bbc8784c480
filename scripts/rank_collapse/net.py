"""The study's Mini AlexNet, and its training with an L2 penalty on the hidden layers."""

import json
import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Optional

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from allennlp_analyze.errors import SourceError, UsageError
from allennlp_analyze.storage.files import write_atomically, write_text
from scripts.rank_collapse.data import Images
from scripts.rank_collapse.results import HIDDEN

LOG = "training.json"
CLASSES = 10
# The study: 50,000 images of CIFAR-10 in batches of 32, 20 times.
STUDY_STEPS = 31_250
STUDY_LR = 0.01
STUDY_MOMENTUM = 0.9


@dataclass(frozen=True)
class Training:
    """Everything that the weights depend on, except the machine's arithmetic.

    An epoch is `steps` batches, for any number of images. A new random order of the images is drawn
    when fewer than a batch are left; the rest is skipped.
    """

    data: str
    l2: float
    epochs: int
    steps: int
    batch_size: int
    lr: float
    momentum: float
    channels: int
    seed: int

    @property
    def decay(self) -> float:
        """The exponent of exp(-decay), the factor by which the penalty alone shrinks a weight.

        A step removes 2 * l2 * lr of a weight, and momentum multiplies each step by
        1 / (1 - momentum).
        """
        return decay(self.l2, self.lr, self.epochs * self.steps, self.momentum)


def decay(l2: float, lr: float, steps: int, momentum: float) -> float:
    """2 * l2 * lr * steps / (1 - momentum)."""
    return 2 * l2 * lr * steps / (1 - momentum)


def study_decay(l2: float) -> float:
    """The decay of the study's training at this penalty."""
    return decay(l2, STUDY_LR, STUDY_STEPS, STUDY_MOMENTUM)


@dataclass(frozen=True)
class TrainedEpoch:
    """The results of one epoch: the mean loss without the penalty, and the test accuracy.

    The loss is None before the first epoch.
    """

    epoch: int
    train_loss: Optional[float]
    test_accuracy: float


class MiniAlexNet(nn.Module):
    """28 x 28 x 3 -> conv 5x5 x `channels` -> pool to 10 x 10 -> batch norm -> conv 5x5 x 256
    -> pool to 4 x 4 -> batch norm -> FC 4096 x 384 -> FC 384 x 192 -> FC 192 x 10.

    The study has 96 `channels`. Convolutions are valid; 24 x 24 pixels are pooled in overlapping
    windows of 3 or 4 to give 10 x 10, and 6 x 6 in windows of 3 to give 4 x 4.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, channels, 5)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, 256, 5)
        self.norm2 = nn.BatchNorm2d(256)
        self.fc1 = nn.Linear(4096, 384)
        self.fc2 = nn.Linear(384, 192)
        self.fc3 = nn.Linear(192, CLASSES)
        for layer in (self.conv1, self.conv2, self.fc1, self.fc2, self.fc3):
            nn.init.xavier_normal_(layer.weight)
            nn.init.constant_(layer.bias, 0.1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm1(nn.functional.adaptive_max_pool2d(torch.relu(self.conv1(x)), 10))
        x = self.norm2(nn.functional.max_pool2d(torch.relu(self.conv2(x)), 3, stride=1))
        x = torch.relu(self.fc1(x.flatten(1)))
        return self.fc3(torch.relu(self.fc2(x)))


@dataclass(frozen=True)
class TrainingLog:
    """The epochs with a state dict; `diverged`: then the loss or a weight was not finite."""

    epochs: tuple[TrainedEpoch, ...] = ()
    diverged: bool = False

    def is_complete(self, training: Training) -> bool:
        return self.diverged or len(self.epochs) == training.epochs + 1


def epoch_file(directory: Path, epoch: int) -> Path:
    """The path of the state dict after `epoch` epochs; epoch 0 is the initial network."""
    return directory / f"epoch-{epoch:03d}.safetensors"


def train(training: Training, images: Images, directory: Path) -> TrainingLog:
    """Train one network and write its state dict after each epoch to `directory`.

    An interrupted call for the same training is resumed; the weights are identical to the last bit.
    Training ends early if the loss, a parameter or a running statistic is not finite at the end of
    an epoch; that epoch is not kept. Raises what `check_batches` and `read_log` raise.
    """
    check_batches(training, images)
    log = read_log(training, directory)
    if log.is_complete(training):
        return log
    run = _Run(training, images)
    if log.epochs:
        run.go_on(directory, log.epochs[-1].epoch)
    else:
        log = TrainingLog((TrainedEpoch(0, None, run.accuracy()),))
        run.keep(directory, log)
    while not log.is_complete(training):
        loss = run.train_epoch()
        if math.isfinite(loss) and run.is_finite():
            new = TrainedEpoch(len(log.epochs), loss, run.accuracy())
            log = TrainingLog((*log.epochs, new))
            run.keep(directory, log)
        else:
            log = replace(log, diverged=True)
            _write_log(training, log, directory)
    return log


def check_batches(training: Training, images: Images) -> None:
    """Raise `UsageError` if the images do not fill one batch."""
    if training.batch_size > len(images.train_x):
        raise UsageError(
            f"--batch-size: {training.batch_size} is more than the {len(images.train_x)} images"
            f" for training of {images.name}"
        )


def read_log(training: Training, directory: Path) -> TrainingLog:
    """Returns the log of this training in `directory`, empty if it has none or another's.

    Raises `SourceError` if the file is not a log.
    """
    found = _read(directory / LOG)
    return TrainingLog() if found is None or found[0] != asdict(training) else found[1]


def holds_another(training: Training, directory: Path) -> bool:
    """Whether the log in `directory` belongs to another training. Raises like `read_log`."""
    found = _read(directory / LOG)
    return found is not None and found[0] != asdict(training)


def _read(path: Path) -> Optional[tuple[Any, TrainingLog]]:
    """Returns the training and its log, or None if there is no file."""
    try:
        held: Any = json.loads(path.read_bytes())
        epochs = tuple(TrainedEpoch(**epoch) for epoch in held["epochs"])
        trained, diverged = held["training"], held["diverged"]
        well_formed = isinstance(diverged, bool) and all(map(_is_epoch, range(len(epochs)), epochs))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (ValueError, RecursionError):
        raise SourceError(f"{path}: is not valid JSON; use --force to start over") from None
    except (KeyError, TypeError):
        well_formed = False
    if not well_formed:
        raise SourceError(f"{path}: is not a log of this script; use --force to start over")
    return trained, TrainingLog(epochs, diverged)


def _is_epoch(number: int, read: TrainedEpoch) -> bool:
    """Whether an epoch as read has this number."""
    numbers = [read.test_accuracy, 0.0 if number == 0 else read.train_loss]
    return read.epoch == number and all(
        isinstance(x, (int, float)) and math.isfinite(x) for x in numbers
    )


def _write_log(training: Training, log: TrainingLog, directory: Path) -> None:
    held = {"training": asdict(training), **asdict(log)}
    write_text(directory / LOG, json.dumps(held, indent=1) + "\n")


def _going_on_file(directory: Path, epoch: int) -> Path:
    return directory / f"going-on-{epoch:03d}.safetensors"


class _Run:
    """A network with its optimizer and the order of its images."""

    def __init__(self, training: Training, images: Images) -> None:
        torch.manual_seed(training.seed)
        self.training = training
        self.train_x, self.test_x = map(torch.from_numpy, (images.train_x, images.test_x))
        self.train_y, self.test_y = map(torch.from_numpy, (images.train_y, images.test_y))
        self.network = MiniAlexNet(training.channels)
        self.order = torch.Generator().manual_seed(training.seed)
        self.pending = torch.empty(0, dtype=torch.int64)
        penalised = {f"{layer}.weight" for layer in HIDDEN}
        named = dict(self.network.named_parameters())
        self.optimizer = torch.optim.SGD(
            [
                # The gradient of l2 * sum w^2 equals a weight decay of 2 * l2 in torch.
                {"params": [named[n] for n in sorted(penalised)], "weight_decay": 2 * training.l2},
                {"params": [p for n, p in named.items() if n not in penalised]},
            ],
            lr=training.lr,
            momentum=training.momentum,
        )

    def train_epoch(self) -> float:
        """Train one epoch and return the mean cross-entropy; stops early if it is not finite."""
        self.network.train()
        total = 0.0
        for _ in range(self.training.steps):
            batch = self._batch()
            self.optimizer.zero_grad()
            loss = nn.functional.cross_entropy(
                self.network(self.train_x[batch]), self.train_y[batch]
            )
            loss.backward()
            self.optimizer.step()
            total += loss.item()
            if not math.isfinite(total):
                break
        return total / self.training.steps

    def _batch(self) -> Tensor:
        size = self.training.batch_size
        if len(self.pending) < size:
            self.pending = torch.randperm(len(self.train_x), generator=self.order)
        batch, self.pending = self.pending[:size], self.pending[size:]
        return batch

    def is_finite(self) -> bool:
        """Whether every parameter and running statistic is finite."""
        return all(bool(value.isfinite().all()) for value in self.network.state_dict().values())

    def accuracy(self) -> float:
        self.network.eval()
        with torch.no_grad():
            right = [
                (self.network(x).argmax(1) == y).sum().item()
                for x, y in zip(self.test_x.split(256), self.test_y.split(256))
            ]
        return sum(right) / len(self.test_y)

    def keep(self, directory: Path, log: TrainingLog) -> None:
        """Write the state dict and the state for resuming, then the log, which refers to them."""
        epoch = log.epochs[-1].epoch
        weights = {name: value.contiguous() for name, value in self.network.state_dict().items()}
        _save(weights, epoch_file(directory, epoch))
        rest = {"order": self.order.get_state(), "pending": self.pending.clone()}
        for name, parameter in self.network.named_parameters():
            momentum = self.optimizer.state.get(parameter, {}).get("momentum_buffer")
            if momentum is not None:
                rest[f"momentum.{name}"] = momentum
        _save(rest, _going_on_file(directory, epoch))
        _write_log(self.training, log, directory)
        _going_on_file(directory, epoch - 1).unlink(missing_ok=True)

    def go_on(self, directory: Path, epoch: int) -> None:
        self.network.load_state_dict(load_file(str(epoch_file(directory, epoch))))
        rest = load_file(str(_going_on_file(directory, epoch)))
        self.order.set_state(rest["order"])
        self.pending = rest["pending"]
        for name, parameter in self.network.named_parameters():
            if f"momentum.{name}" in rest:
                self.optimizer.state[parameter]["momentum_buffer"] = rest[f"momentum.{name}"]


def _save(tensors: dict[str, Tensor], path: Path) -> None:
    data = save(tensors)
    write_atomically(path, lambda file: file.write(data))
