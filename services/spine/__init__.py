"""The server: it keeps every job, event, log and blob, and hands work out under leases."""
