"""The native dialect over HTTP: one resource module a noun. Thin: read, call a verb, answer."""
