"""The tables of messages."""

import peewee as pw

from spine.store.table import Table


class Message(Table):
    seq = pw.AutoField()
    id = pw.TextField()
    at = pw.BigIntegerField()
    sender = pw.TextField()
    audience = pw.TextField()
    kind = pw.TextField()
    priority = pw.IntegerField()
    place = pw.IntegerField()
    text = pw.TextField()
    thread = pw.TextField()
    reply_to = pw.TextField(null=True)
    job_id = pw.TextField(null=True)
    expires_at = pw.BigIntegerField(null=True)

    class Meta:
        table_name = "messages"


class Receipt(Table):
    message = pw.IntegerField()
    reader = pw.TextField()
    place = pw.IntegerField()
    expires_at = pw.BigIntegerField(null=True)
    offered_at = pw.BigIntegerField(null=True)
    delivered_at = pw.BigIntegerField(null=True)
    read_at = pw.BigIntegerField(null=True)
    expired_at = pw.BigIntegerField(null=True)

    class Meta:
        table_name = "receipts"
        primary_key = pw.CompositeKey("message", "reader")
