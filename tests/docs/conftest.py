"""A real server for pages that speak of one."""

from collections.abc import Iterator

import pytest
from tests.support.spine_process import SpineProcess


@pytest.fixture(scope="module")
def spine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SpineProcess]:
    """A server of the module's own, with default settings."""
    process = SpineProcess(tmp_path_factory.mktemp("docs")).start()
    yield process
    assert process.stop() == 0, process.log_tail()
