"""The engines that a server may keep its store in, for tests that start servers: the fixture `store` gives each."""

from collections.abc import Iterator

import pytest

Settings = dict[str, str | None]

ON_BOTH_ENGINES = pytest.mark.parametrize(
    "store", ["sqlite", pytest.param("postgres", marks=pytest.mark.docker)], indirect=True
)


def opened(request: pytest.FixtureRequest) -> Iterator[Settings]:
    """Yield the settings that choose a store of the test's own: the embedded one where the test asks for none."""
    if getattr(request, "param", "sqlite") == "sqlite":
        yield {}
        return
    server = request.getfixturevalue("postgres")
    name = server.create()
    yield {"SPINE_DATABASE_URL": server.url(name)}
    server.drop(name)
