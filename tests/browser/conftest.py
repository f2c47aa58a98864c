"""Tests that need `.venv-browser` and Chromium: run by `make test-browser` only."""

import shutil
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import pytest

# Elsewhere, `pytest` finds nothing in this folder.
collect_ignore_glob = [] if find_spec("playwright") else ["test_*.py"]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    with import_module("playwright.sync_api").sync_playwright() as playwright:
        # In a container, Chromium has no sandbox of its own.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()
