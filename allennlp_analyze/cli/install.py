"""Adds this package to the user's AllenNLP plugins file, so that AllenNLP finds the subcommand."""

from pathlib import Path

from allennlp_analyze.errors import OutputError

PLUGIN = "allennlp_analyze.plugin"


def plugins_file() -> Path:
    """Returns the user's plugins file, which AllenNLP reads in every working directory."""
    return Path.home() / ".allennlp" / "plugins"


def install_plugin() -> str:
    """Add the plugin's line to `plugins_file()` unless it is there. Returns a message.

    Other lines are not changed. Raises `OutputError`.
    """
    path = plugins_file()
    try:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        if PLUGIN in (line.strip() for line in text.splitlines()):
            return f"{path} already contains {PLUGIN}: `allennlp analyze` is ready"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(("\n" if text and not text.endswith("\n") else "") + PLUGIN + "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise OutputError(f"{path}: failed to add {PLUGIN} ({error})") from None
    return f"added {PLUGIN} to {path}: `allennlp analyze` is ready"
