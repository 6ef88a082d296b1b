"""The tables of task groups."""

import peewee as pw

from spine.store.table import Table


class Group(Table):
    seq = pw.AutoField()
    id = pw.TextField()
    name = pw.TextField()
    created_at = pw.BigIntegerField()
    created_by = pw.TextField()
    label = pw.TextField(null=True)
    parent_id = pw.TextField(null=True)
    overdue_at = pw.BigIntegerField(null=True)
    notify = pw.TextField()
    warned_at = pw.BigIntegerField(null=True)
    done_at = pw.BigIntegerField(null=True)
    closed_at = pw.BigIntegerField(null=True)
    summary = pw.TextField(null=True)

    class Meta:
        table_name = "groups"


class GroupJob(Table):
    group_id = pw.TextField()
    job_id = pw.TextField()

    class Meta:
        table_name = "group_jobs"
        primary_key = pw.CompositeKey("group_id", "job_id")
