"""The claw: claims jobs from a spine, runs them under a lease, and reports what came of them."""
