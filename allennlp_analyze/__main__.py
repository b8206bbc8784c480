"""`python -m allennlp_analyze` is `allennlp-analyze`."""

import sys

from allennlp_analyze.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
