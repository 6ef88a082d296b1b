"""The verbs of the queue: plain functions of a transaction, a caller and a request, without HTTP and without SQL."""
