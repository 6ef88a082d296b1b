"""The images and the Compose project, end to end."""
