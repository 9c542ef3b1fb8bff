# SPDX-License-Identifier: Apache-2.0
"""A lab of plan 1 that is taken down however the test ends; and what tests import from here, which stands in labs.py."""
import pytest

from labs import FABRICS, Ear, Lab, NODES, PROGRAM, SWITCHES, UPLINK, eventually, is_gone, random_name, traces_of, weft  # noqa: F401
from labs import skip_without_a_lab


def pytest_collection_modifyitems(items):
    skip_without_a_lab(items)


@pytest.fixture
def lab():
    standing = Lab(FABRICS / "grizzly.yaml")
    yield standing
    standing.down()
