"""Child processes: starting, guarding and ending them, and keeping their output. Knows nothing of jobs."""
