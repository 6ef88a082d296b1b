"""The worker that serves, as far as it goes without a server."""

import threading

import pytest
from gunicorn.workers.gasgi import ASGIWorker

from spine import worker
from spine.worker import SpineWorker


@pytest.mark.parametrize("fails", [False, True])
def test_an_application_that_takes_long_to_build_keeps_its_worker_alive(
    monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    told = threading.Semaphore(0)

    def build(_self: SpineWorker) -> None:
        assert told.acquire(timeout=10)
        assert told.acquire(timeout=10)
        if fails:
            raise ValueError("no store")

    monkeypatch.setattr(worker, "_SIGN_OF_LIFE_SECONDS", 0.01)
    monkeypatch.setattr(ASGIWorker, "load_wsgi", build)
    monkeypatch.setattr(SpineWorker, "notify", lambda _self: told.release())
    serving = SpineWorker.__new__(SpineWorker)
    if fails:
        with pytest.raises(ValueError, match="no store"):
            serving.load_wsgi()
    else:
        serving.load_wsgi()
    assert "sign-of-life" not in {thread.name for thread in threading.enumerate()}
