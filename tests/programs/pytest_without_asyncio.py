"""Run pytest as if pytest-asyncio were not installed."""

import importlib.util
import sys
from importlib.machinery import ModuleSpec

import pytest

find_spec = importlib.util.find_spec


def find_other_spec(name: str, package: str | None = None) -> ModuleSpec | None:
    return None if name == "pytest_asyncio" else find_spec(name, package)


importlib.util.find_spec = find_other_spec
sys.exit(pytest.main(["-p", "no:asyncio", *sys.argv[1:]]))
