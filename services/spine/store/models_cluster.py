"""The tables of the cluster."""

import peewee as pw

from spine.store.table import Table


class ClusterNode(Table):
    id = pw.TextField(primary_key=True)
    owner = pw.TextField()
    instance = pw.TextField()
    name = pw.TextField()
    capabilities = pw.TextField()
    endpoint = pw.TextField()
    ttl_ms = pw.BigIntegerField()
    state = pw.TextField()
    joined_at = pw.BigIntegerField()
    last_seen = pw.BigIntegerField()
    place = pw.BigIntegerField()

    class Meta:
        table_name = "cluster_nodes"


class ClusterBeat(Table):
    seq = pw.AutoField()
    at = pw.BigIntegerField()
    node = pw.TextField()
    leads = pw.IntegerField()
    leader = pw.TextField(null=True)

    class Meta:
        table_name = "cluster_beats"


class _Entry(Table):
    """What the two streams have in common."""

    seq = pw.AutoField()
    at = pw.BigIntegerField()
    author = pw.TextField()
    kind = pw.TextField()
    body = pw.TextField()


class ClusterEvent(_Entry):
    class Meta:
        table_name = "cluster_events"


class ClusterMessage(_Entry):
    class Meta:
        table_name = "cluster_messages"
