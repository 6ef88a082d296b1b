"""The head's command line: submit jobs, watch them, read what came of them."""
