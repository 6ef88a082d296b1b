"""When things are done: one pass for cron or launchd, or the resident daemon."""
