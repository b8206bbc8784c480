"""Which names are those of checkpoints of one training, and which one stands for it."""

from collections.abc import Sequence

import pytest

from allennlp_analyze.sources.directories.checkpoints import Training, trainings

pytestmark = pytest.mark.newest_python


def found(*places: str) -> "list[Training]":
    return trainings(places, lambda index: None)


def chosen(places: Sequence[str]) -> "list[str]":
    return [places[training.chosen] for training in found(*places)]


@pytest.mark.parametrize(
    "places",
    [
        ("run/checkpoint-400", "run/checkpoint-800", "run/checkpoint-1200"),
        ("run/checkpoint-400", "run/checkpoint-1200", "run"),
        ("v/epoch=9-step=990.ckpt", "v/epoch=10-step=1100.ckpt"),
        ("v/epoch=9-step=990.ckpt", "v/epoch=10-step=1100.ckpt", "v/last.ckpt"),
        ("v/epoch=9-val_loss=0.25.ckpt", "v/epoch=10-val_loss=1.5.ckpt"),
        ("a/model_state_e9_b0.th", "a/model_state_e10_b0.th", "a/model_state_e10_b7.th"),
        ("a/model_state_epoch_2.151.3.th", "a/model_state_epoch_10.th"),
        ("a/checkpoint-5/adapter_model.bin", "a/checkpoint-10/adapter_model.bin"),
        ("a/checkpoint-5/unet", "a/checkpoint-10/unet"),
        ("a/ckpt_20.pt", "a/ckpt_100.pt", "a/final.pt"),
        ("a/bert_epoch1.pt", "a/bert_epoch2.pt", "a/bert_best.pt"),
        ("a/global_step5", "a/global_step10"),
        ("a/iter_0000010", "a/iter_0000100"),
        ("https://example.org/a/step_5.tar.gz", "https://example.org/a/step_10.tar.gz"),
        ("hf://org/name@step512", "hf://org/name@step1000"),
        ("a/epoch_9.pt", "a/best-epoch=9.pt"),
    ],
)
def test_one_training_whose_last_one_stands_for_it(places: "tuple[str, ...]") -> None:
    for given in (places, places[::-1]):
        assert chosen(given) == [places[-1]]
        (training,) = found(*given)
        assert sorted((training.chosen, *training.others)) == list(range(len(given)))


@pytest.mark.parametrize(
    "places",
    [
        ("m/v1.pt", "m/v2.pt"),
        ("m/bert-3.pt", "m/bert-4.pt"),
        ("m/layer1.npz", "m/layer2.npz"),
        ("m/model_a.safetensors", "m/model_b.safetensors"),
        ("m/resnet18.pth", "m/resnet50.pth"),
        ("m/gpt2-step1.pt", "m/gpt3-step2.pt"),
        ("m/seed1_epoch5.pt", "m/seed2_epoch5.pt"),
        ("m/lr0.1_epoch5.pt", "m/lr0.01_epoch5.pt", "m/lr1_best.pt"),
        ("m/epoch10_lr0.1.pt", "m/epoch20_lr0.01.pt"),
        ("a/checkpoint-5.pt", "b/checkpoint-10.pt"),
        ("a/step_5.pt", "a/step_10.safetensors"),
        ("a/footstep_5.pt", "a/footstep_6.pt"),
        ("a/step_5.pt",),
        ("a/best.pt", "a/last.pt"),
        ("a/step_5.pt", "a/other.pt"),
    ],
)
def test_models_that_are_not_of_one_training(places: "tuple[str, ...]") -> None:
    assert found(*places) == []


def test_what_may_belong_to_two_trainings_is_of_none() -> None:
    places = ("m/a_epoch1.pt", "m/a_epoch2.pt", "m/b_epoch1.pt", "m/b_epoch2.pt", "m/best.pt")
    assert chosen(places) == ["m/a_epoch2.pt", "m/b_epoch2.pt"]
    two = ("m/epoch_1.pt", "m/epoch_2.pt", "m/step_1.pt", "m/step_2.pt", "m/best.pt")
    assert chosen(two) == ["m/epoch_2.pt", "m/step_2.pt"]


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        (("m/best_epoch_1.pt", "m/last_epoch_3.pt"), 1),
        (("m/step_1.pt", "m/step_2.pt", "m/best_step_1.pt", "m/best_step_2.pt"), 2),
    ],
)
def test_no_model_is_in_two_trainings(places: "tuple[str, ...]", expected: int) -> None:
    for given in (places, places[::-1]):
        trained = found(*given)
        members = [index for x in trained for index in (x.chosen, *x.others)]
        assert len(members) == len(set(members))
        assert len(trained) == expected


def test_a_directory_with_checkpoints_is_a_training_itself() -> None:
    places = ("step1", "step2", "step1/checkpoint-1", "step2/checkpoint-1")
    assert chosen(places) == ["step1", "step2"]


def test_other_tensors_make_another_training() -> None:
    places = ("a/step_1.pt", "a/step_2.pt", "a/step_3.pt", "a/step_4.pt", "a/last.pt")
    small = trainings(places, lambda index: index < 2)
    assert [[places[i] for i in (x.chosen, *x.others)] for x in small] == [
        ["a/step_2.pt", "a/step_1.pt"],
        ["a/last.pt", "a/step_3.pt", "a/step_4.pt"],
    ]
