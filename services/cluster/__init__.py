"""A cluster of nodes: membership, one leader with a lease and a fencing token, events, a broadcast of messages."""
