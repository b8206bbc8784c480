"""Fixtures of the tests of the monitor."""

import logging
from typing import Any

import pytest

from tests.support.torch_trainings import LOGGER


@pytest.fixture
def heard() -> Any:
    """Lightning and transformers set levels of the root's children, not of ours."""
    logging.getLogger(LOGGER).setLevel(logging.WARNING)
