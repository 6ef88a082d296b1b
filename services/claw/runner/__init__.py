"""One held job from claim to acknowledged result."""
