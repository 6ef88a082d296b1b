"""A primary that dies, and the replica that its Sentinels put in its place."""

import pytest
from tests.support.engine import opened
from tests.support.eventually import eventually
from tests.support.redis_fleet import RedisFleet
from tests.support.redis_server import Connect
from tests.support.redis_watch import Watch

from cluster.backend import Away
from contract.clock import since_boot

pytestmark = [pytest.mark.docker, pytest.mark.timeout(400, func_only=True)]


def test_a_cluster_goes_on_at_the_replica_when_the_primary_is_killed(connect: Connect) -> None:
    with opened() as client:
        fleet = RedisFleet(client)
        try:
            watch = Watch(lambda: connect(fleet.url))
            eventually(lambda: watch.grants() and min(map(len, watch.got.values())) > 50)
            begin = since_boot()
            fleet.kill()
            back = eventually(lambda: watch.leader_after(begin + 1), 30, what="a lease at the replica")
            goal = watch.sent[-1] + 50
            eventually(lambda: watch.reached(goal))
            watch.stop()
            assert back - begin < 15
            assert watch.faults == []
            assert (watch.disorder(), watch.backwards()) == ([], 0)
            with pytest.raises(Away) as caught:
                connect(fleet.url.replace("mymaster", "other")).leader()
            hosts = fleet.url.partition("://")[2].partition("/")[0].replace(",", ":26379,")
            assert str(caught.value) == (
                f"no Sentinel at redis+sentinel://{hosts}:26379/other/0 names the primary: "
                "they do not know it, or it is down"
            )
            with pytest.raises(Away, match="names the primary: ConnectionError"):
                connect("redis+sentinel://127.0.0.1:1/mymaster/0").leader()
        finally:
            fleet.stop()
