"""The API as tools for agents, over the Model Context Protocol: an extra, and no rule of its own."""
