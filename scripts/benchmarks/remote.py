"""Count the bytes that are fetched of a model by URL, against those that an analysis needs.

The script writes a model of the shape of a small transformer, serves it on the loopback interface
by its parts, and analyzes one layer, one kind and all of it with the command. What is needed: the
header, the weights that were asked for, and the vectors of the same modules.
"""

import argparse
import json
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Optional

import numpy as np

from scripts.benchmarks.peak_memory import watch

MB = 10**6
NAME = "model.safetensors"
SELECTIONS = {
    "one layer": (["--layers", r"layers\.1\.mlp\.up_proj"], "layers.1.mlp.up_proj."),
    "one kind": (["--kinds", "embedding"], "embed_tokens."),
    "all": ([], ""),
}


class Counting(BaseHTTPRequestHandler):
    """Sends parts of the one file of the server."""

    protocol_version = "HTTP/1.1"
    server: "Server"

    def do_GET(self) -> None:
        size = self.server.path.stat().st_size
        asked = self.headers.get("Range")
        start, _, last = (asked or f"bytes=0-{size - 1}")[len("bytes=") :].partition("-")
        stop = min(int(last or size - 1) + 1, size)
        with self.server.path.open("rb") as file:
            file.seek(int(start))
            body = file.read(stop - int(start))
        self.send_response(200 if asked is None else 206)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"1"')
        if asked is not None:
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{size}")
        self.end_headers()
        self.server.requests += 1
        self.wfile.write(body)
        self.server.sent += len(body)

    do_HEAD = do_GET

    def log_message(self, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    """Counts requests and bytes."""

    def __init__(self, path: Path) -> None:
        super().__init__(("127.0.0.1", 0), Counting)
        self.path = path
        self.requests = self.sent = 0
        threading.Thread(target=self.serve_forever, daemon=True).start()


@dataclass(frozen=True)
class Fetched:
    """What one analysis took."""

    needed: int
    sent: int
    requests: int
    seconds: float
    anonymous_mib: float


def write_model(path: Path, megabytes: float, width: int) -> None:
    """A transformer in float32 of about this size, one tensor at a time."""
    shapes: dict[str, tuple[int, ...]] = {"embed_tokens.weight": (16 * width, width)}
    layer: dict[str, tuple[int, ...]] = {
        **{f"self_attn.{x}_proj.weight": (width, width) for x in "qkvo"},
        **{f"self_attn.{x}_proj.bias": (width,) for x in "qkvo"},
        "mlp.up_proj.weight": (4 * width, width),
        "mlp.up_proj.bias": (4 * width,),
        "mlp.down_proj.weight": (width, 4 * width),
        "mlp.down_proj.bias": (width,),
        "input_layernorm.weight": (width,),
        "post_attention_layernorm.weight": (width,),
    }
    of_layer = 4 * sum(int(np.prod(shape)) for shape in layer.values())
    count = max(2, round((megabytes * MB - 4 * 16 * width**2) / of_layer))
    for index in range(count):
        shapes.update({f"layers.{index}.{name}": shape for name, shape in layer.items()})
    entries, end = {}, 0
    for name, shape in sorted(shapes.items()):
        size = 4 * int(np.prod(shape))
        entries[name] = {"dtype": "F32", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    header = json.dumps(entries).encode()
    rng = np.random.default_rng(0)
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for _, shape in sorted(shapes.items()):
            values = rng.standard_normal(shape, dtype=np.float32)
            file.write((values if len(shape) > 1 else 1 + 0.1 * values).tobytes())


def needed_bytes(path: Path, begins: str) -> int:
    """The header and the tensors whose names begin so."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
    places = [entry["data_offsets"] for name, entry in header.items() if name.startswith(begins)]
    return 8 + size + sum(stop - start for start, stop in places)


def measure(path: Path, options: Sequence[str], begins: str) -> Fetched:
    """Analyze the served model once in a process of its own."""
    server = Server(path)
    url = f"http://127.0.0.1:{server.server_address[1]}/{NAME}"
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-m", "allennlp_analyze", url, "-q", *options]
        peak = watch([*command, "--output-dir", f"{directory}/out"])
    server.shutdown()
    return Fetched(
        needed_bytes(path, begins), server.sent, server.requests, peak.seconds, peak.anonymous_mib
    )


def main(arguments: Optional[Sequence[str]] = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.benchmarks.remote", description=__doc__
    )
    parser.add_argument("--mb", type=float, default=400, help="size of the model (default: 400)")
    parser.add_argument("--width", type=int, default=1024, help="columns (default: 1024)")
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / NAME
        write_model(path, args.mb, args.width)
        print(f"model of {path.stat().st_size / MB:.1f} MB")
        print("selection  needed MB  fetched MB  ratio  requests  seconds  MiB")
        for name, (options, begins) in SELECTIONS.items():
            found = measure(path, options, begins)
            print(
                f"{name:9}  {found.needed / MB:9.2f}  {found.sent / MB:10.2f}"
                f"  {found.sent / found.needed:5.2f}  {found.requests:8}  {found.seconds:7.1f}"
                f"  {found.anonymous_mib:3.0f}"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
