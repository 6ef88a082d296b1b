"""The dashboard: pages at /ui, made on the server. What they change they change by the API, as every client does."""
