"""An agent's host: the tools of a spine, over the protocol's own client and a real socket."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx2
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, Tool

T = TypeVar("T")
SECONDS = 60.0


@dataclass(frozen=True)
class Agent:
    """Whoever has this token; each call is a connection of its own."""

    url: str
    token: str
    mode: str = "auto"
    """`auto` asks without a session at all, `legacy` shakes hands first, as hosts of 2025 do."""

    def tools(self) -> list[Tool]:
        """Return the tools that are listed for the token."""

        async def work(client: Client) -> list[Tool]:
            return (await client.list_tools()).tools

        return self.run(work)

    def call(self, tool: str, /, **arguments: Any) -> dict[str, Any]:
        """Call a tool; return what it answers. One that fails fails the test."""
        result = self.ask(tool, **arguments)
        assert not result.is_error, result.structured_content
        found: dict[str, Any] = result.structured_content
        return found

    def refused(self, tool: str, /, **arguments: Any) -> tuple[str, str | None, str]:
        """Call a tool that must fail; return the error's code, field and detail."""
        result = self.ask(tool, **arguments)
        told = result.structured_content
        assert result.is_error, told
        return told["error"], told.get("field"), told["detail"]

    def ask(self, tool: str, /, **arguments: Any) -> CallToolResult:
        """Call a tool."""

        async def work(client: Client) -> CallToolResult:
            return await client.call_tool(tool, arguments)

        return self.run(work)

    def run(self, work: Callable[[Client], Awaitable[T]]) -> T:
        """Do something with a client that is connected."""

        async def connected() -> T:
            headers = {"Authorization": f"Bearer {self.token}"}
            async with (
                httpx2.AsyncClient(headers=headers, timeout=SECONDS, verify=False) as http,
                Client(streamable_http_client(f"{self.url}/mcp", http_client=http), mode=self.mode) as client,
            ):
                return await work(client)

        return asyncio.run(connected())
