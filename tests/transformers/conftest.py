"""Torch and transformers are an optional extra; nothing here touches the network."""

import os
import sys
from pathlib import Path

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
sys.path.insert(0, str(Path(__file__).parent))  # `loading` is a module for the tests of this folder


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """Importing torch takes seconds: not where these tests are deselected anyway."""
    return True if config.getoption("markexpr") == "not extras" else None


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """The models are so small that a second thread only costs."""
    import torch

    torch.set_num_threads(1)
