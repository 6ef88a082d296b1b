"""What turns a phase of a job into a command line. Starting it is the business of `claw.process`."""
