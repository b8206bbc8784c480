"""The Mini AlexNet of the rank-collapse experiment, and its training."""

import dataclasses
import json
import math

import numpy as np
import pytest

from allennlp_analyze.errors import UsageError
from scripts.rank_collapse import data, net

pytestmark = [pytest.mark.newest_python, pytest.mark.study]
torch = pytest.importorskip("torch")

TINY = net.Training(
    data="noise",
    l2=1e-2,
    epochs=3,
    steps=2,
    batch_size=3,
    lr=0.01,
    momentum=0.9,
    channels=1,
    seed=5,
)


@pytest.fixture(scope="module")
def images():
    """Seven images for training: batches of three do not come out even."""
    random = np.random.default_rng(0)
    x = random.standard_normal((11, 3, data.SIZE, data.SIZE)).astype(np.float32)
    y = random.integers(0, 10, 11)
    return data.Images("noise", x[:7], y[:7], x[7:], y[7:])


def weights(directory, epoch):
    from safetensors.numpy import load_file

    return load_file(str(net.epoch_file(directory, epoch)))


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def test_layers_have_the_shapes_of_the_study() -> None:
    network = net.MiniAlexNet(96)
    shapes = {n: tuple(p.shape) for n, p in network.named_parameters() if n.endswith("weight")}
    assert shapes == {
        "conv1.weight": (96, 3, 5, 5),
        "norm1.weight": (96,),
        "conv2.weight": (256, 96, 5, 5),
        "norm2.weight": (256,),
        "fc1.weight": (384, 4096),
        "fc2.weight": (192, 384),
        "fc3.weight": (10, 192),
    }
    seen = {}
    for name in ("norm1", "norm2"):
        layer = getattr(network, name)
        layer.register_forward_hook(lambda m, x, y, name=name: seen.update({name: y.shape[1:]}))
    network(torch.zeros(2, 3, 28, 28))
    assert seen == {"norm1": (96, 10, 10), "norm2": (256, 4, 4)}


def test_initial_weights_are_glorot_s_and_biases_a_tenth() -> None:
    network = net.MiniAlexNet(96)
    for layer, (fan_in, fan_out) in {
        network.fc1: (4096, 384),
        network.fc2: (384, 192),
        network.conv2: (96 * 25, 256 * 25),
    }.items():
        std = layer.weight.std().item()
        assert std == pytest.approx(math.sqrt(2 / (fan_in + fan_out)), rel=0.02)
        assert (layer.bias == 0.1).all()


def test_the_penalty_is_the_sum_of_squares_in_the_loss(images, tmp_path) -> None:
    """Against a training that has the penalty in its loss, as Keras has."""
    net.train(TINY, images, tmp_path)
    torch.manual_seed(TINY.seed)
    network = net.MiniAlexNet(TINY.channels)
    optimizer = torch.optim.SGD(network.parameters(), lr=TINY.lr, momentum=TINY.momentum)
    order, pending = torch.Generator().manual_seed(TINY.seed), []
    for _ in range(TINY.epochs * TINY.steps):
        if len(pending) < TINY.batch_size:
            pending = torch.randperm(7, generator=order).tolist()
        batch, pending = pending[: TINY.batch_size], pending[TINY.batch_size :]
        x, y = torch.from_numpy(images.train_x[batch]), torch.from_numpy(images.train_y[batch])
        penalty = sum((layer.weight**2).sum() for layer in (network.fc1, network.fc2))
        loss = torch.nn.functional.cross_entropy(network(x), y) + TINY.l2 * penalty
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    trained = weights(tmp_path, TINY.epochs)
    for name, parameter in network.named_parameters():
        expected = parameter.detach().numpy()
        np.testing.assert_allclose(trained[name], expected, rtol=1e-4, atol=1e-6, err_msg=name)


def test_decay_is_what_the_penalty_makes_of_an_unused_weight() -> None:
    training = dataclasses.replace(TINY, l2=1e-3, epochs=4, steps=500)
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([weight], lr=training.lr, momentum=training.momentum)
    for _ in range(training.epochs * training.steps):
        optimizer.zero_grad()
        (training.l2 * (weight**2).sum()).backward()
        optimizer.step()
    assert -math.log(weight.item()) == pytest.approx(training.decay, rel=0.01)


def test_the_same_training_gives_the_same_weights(images, tmp_path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        net.train(TINY, images, tmp_path / name)
    assert_same(weights(tmp_path / "a", 3), weights(tmp_path / "b", 3))


@pytest.mark.parametrize("epochs_done", [0, 1, 2])
def test_an_interrupted_training_goes_on_as_if_it_had_not_been(
    images, tmp_path, monkeypatch, epochs_done: int
) -> None:
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    whole = net.train(TINY, images, tmp_path / "whole")
    train_epoch = net._Run.train_epoch
    count = []

    def interrupted(run):
        count.append(1)
        if len(count) > epochs_done:
            raise KeyboardInterrupt
        return train_epoch(run)

    with monkeypatch.context() as patch:
        patch.setattr(net._Run, "train_epoch", interrupted)
        with pytest.raises(KeyboardInterrupt):
            net.train(TINY, images, tmp_path / "parts")
    assert len(net.read_log(TINY, tmp_path / "parts").epochs) == epochs_done + 1
    assert net.train(TINY, images, tmp_path / "parts") == whole
    for epoch in range(TINY.epochs + 1):
        assert_same(weights(tmp_path / "parts", epoch), weights(tmp_path / "whole", epoch))


def test_a_finished_training_is_not_repeated(images, tmp_path) -> None:
    log = net.train(TINY, images, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert net.train(TINY, images, tmp_path) == log
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_another_training_s_log_is_not_taken(images, tmp_path) -> None:
    net.train(TINY, images, tmp_path)
    assert net.read_log(dataclasses.replace(TINY, lr=0.02), tmp_path) == net.TrainingLog()


def test_a_diverged_training_ends_and_says_so(images, tmp_path) -> None:
    wild = dataclasses.replace(TINY, lr=1e30)
    log = net.train(wild, images, tmp_path)
    assert log.diverged and log.is_complete(wild) and len(log.epochs) < wild.epochs + 1
    assert net.read_log(wild, tmp_path) == log
    json.loads((tmp_path / net.LOG).read_text(), parse_constant=pytest.fail)


def test_an_epoch_whose_weights_are_not_finite_is_not_kept(images, tmp_path) -> None:
    """The loss of its only step was taken before the weights left float32's range."""
    wild = dataclasses.replace(TINY, lr=1e38, steps=1)
    run = net._Run(wild, images)
    assert math.isfinite(run.train_epoch()) and not run.is_finite()
    log = net.train(wild, images, tmp_path)
    assert log.diverged and [epoch.epoch for epoch in log.epochs] == [0]
    assert not net.epoch_file(tmp_path, 1).exists()


@pytest.mark.parametrize("name", ["conv1.bias", "fc2.weight", "norm1.running_var"])
@pytest.mark.parametrize("value", [math.nan, -math.inf])
def test_one_number_that_is_not_finite_is_seen(images, name: str, value: float) -> None:
    run = net._Run(TINY, images)
    assert run.is_finite()
    run.network.state_dict()[name].view(-1)[-1] = value
    assert not run.is_finite()


def test_a_batch_of_more_images_than_there_are_is_refused(images, tmp_path) -> None:
    every = dataclasses.replace(TINY, batch_size=7, epochs=1)
    assert len(net._Run(every, images)._batch()) == 7
    net.train(every, images, tmp_path)
    with pytest.raises(UsageError, match="--batch-size: 8 is more than the 7 images"):
        net.train(dataclasses.replace(every, batch_size=8), images, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_what_does_not_fill_a_batch_is_left_out(images) -> None:
    """Seven images in batches of three: two batches of an order, none seen twice, then anew."""
    run = net._Run(TINY, images)
    for _ in range(5):
        assert len(set(torch.cat([run._batch(), run._batch()]).tolist())) == 6


def test_accuracy_is_the_share_that_is_right(images) -> None:
    run = net._Run(TINY, images)
    run.network.eval()
    with torch.no_grad():
        guesses = run.network(torch.from_numpy(images.test_x)).argmax(1).numpy()
    assert run.accuracy() == np.mean(guesses == images.test_y)
