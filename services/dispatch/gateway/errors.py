"""What can go wrong with a gateway. Each class has a stable `code`, its text names the fix, `retryable` says if waiting
helps.

A caller catches `GatewayError`; whatever the gateway sends that is not plain success ends in one of these
(contract: gateway, section 9, rule 3).
"""

from typing import ClassVar


class GatewayError(Exception):
    """The gateway did not do what was asked.

    Attributes:
        retryable: the same call may succeed later without anybody's help.
        retry_after: seconds after which the gateway asks for the next try; None when it names none.
    """

    code: ClassVar[str] = "gateway_error"
    retryable: bool = False
    retry_after: float | None = None

    def __init__(self, text: str, *, retryable: bool | None = None, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.text = text
        if retryable is not None:
            self.retryable = retryable
        self.retry_after = retry_after


class Unreachable(GatewayError):
    """Nobody listens, the connection broke, or no answer came in time.

    Attributes:
        starting: the gateway said itself that it starts or stops (closes 1012 and 1013).
        sent: the request had left, so that the gateway may have carried it out.
    """

    code = "unreachable"
    retryable = True

    def __init__(
        self, text: str, *, starting: bool = False, sent: bool = False, retry_after: float | None = None
    ) -> None:
        super().__init__(text, retry_after=retry_after)
        self.starting, self.sent = starting, sent


class Unauthorized(GatewayError):
    """The gateway does not take the token, or the device's signature."""

    code = "unauthorized"


class NeedsPairing(GatewayError):
    """The gateway does not know this device yet: an operator has to approve the request.

    Attributes:
        request_id: what `openclaw devices approve` takes; empty when the gateway named none.
        device_id: this device, as `openclaw devices list` shows it.
    """

    code = "needs_pairing"

    def __init__(self, text: str, *, request_id: str = "", device_id: str = "") -> None:
        super().__init__(text)
        self.request_id, self.device_id = request_id, device_id


class MissingScope(GatewayError):
    """The connection may do less than was asked for.

    Attributes:
        scopes: those that are missing.
    """

    code = "missing_scope"

    def __init__(self, text: str, *, scopes: tuple[str, ...] = ()) -> None:
        super().__init__(text)
        self.scopes = scopes


class Unsupported(GatewayError):
    """The gateway's version cannot do it."""

    code = "unsupported"


class UnknownAgent(GatewayError):
    """The gateway's configuration has no such agent."""

    code = "unknown_agent"


class Overloaded(GatewayError):
    """The model behind the gateway is overloaded, or the gateway itself is."""

    code = "overloaded"
    retryable = True


class Refused(GatewayError):
    """The gateway answered with an error.

    Attributes:
        gateway_code: the gateway's own word, such as `INVALID_REQUEST`.
    """

    code = "refused"

    def __init__(
        self, text: str, *, gateway_code: str = "", retryable: bool = False, retry_after: float | None = None
    ) -> None:
        super().__init__(text, retryable=retryable, retry_after=retry_after)
        self.gateway_code = gateway_code


class ProtocolFault(GatewayError):
    """What came is not what a gateway sends; probably something else listens there."""

    code = "protocol_fault"
