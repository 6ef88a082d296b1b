"""What dispatch knows of an OpenClaw gateway: one WebSocket, its frames, and what a session's row and history mean."""
