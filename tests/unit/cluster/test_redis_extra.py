"""Without the extra `cluster` a cluster works on the spine; with it redis is imported only when Redis is the store."""

import subprocess
import sys
from pathlib import Path

REPO = Path(__file__).resolve().parents[3]


def test_redis_is_imported_only_by_its_backend() -> None:
    """Every module of the cluster but two is imported while there is no redis."""
    code = """
import importlib, pkgutil, sys
sys.modules["redis"] = None
import cluster
for module in pkgutil.walk_packages(cluster.__path__, "cluster."):
    try:
        importlib.import_module(module.name)
    except ModuleNotFoundError as e:
        print(module.name, e.name)
"""
    env = {"PYTHONPATH": str(REPO / "services"), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["cluster.redis_backend redis", "cluster.redis_link redis"]
