"""Foreign dialects: their requests in, verbs of the queue out. No SQL, no state of their own."""
