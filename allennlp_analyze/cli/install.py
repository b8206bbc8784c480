"""Makes AllenNLP find the subcommand: adds this package to the user's AllenNLP plugins file."""

from pathlib import Path

from allennlp_analyze.errors import OutputError

PLUGIN = "allennlp_analyze.plugin"


def plugins_file() -> Path:
    """The file that AllenNLP reads for every user, whatever the working directory."""
    return Path.home() / ".allennlp" / "plugins"


def install_plugin() -> str:
    """Add the plugin's line to `plugins_file()` unless it is there; says what was done.

    Other lines stay as they are. Raises `OutputError`.
    """
    path = plugins_file()
    try:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        if PLUGIN in (line.strip() for line in text.splitlines()):
            return f"{path} already names {PLUGIN}: `allennlp analyze` is ready"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(("\n" if text and not text.endswith("\n") else "") + PLUGIN + "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise OutputError(f"{path}: cannot add {PLUGIN} ({error})") from None
    return f"added {PLUGIN} to {path}: `allennlp analyze` is ready"
