"""What the documentation site needs besides Markdown: hooks of mkdocs."""
