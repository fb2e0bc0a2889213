"""A web socket begins where it was asked for, or not at all.

The client follows redirects when it connects a web socket, with the token in the address or in the
first message, and there is no switch for it.
"""

from typing import Final

import aiohttp

_REDIRECTS: Final = range(300, 400)


async def refuse_redirects(
    request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """A middleware of a session. Raises WSServerHandshakeError where another place is named."""
    response = await send(request)
    if response.status in _REDIRECTS:
        response.close()
        raise aiohttp.WSServerHandshakeError(
            response.request_info, (), status=response.status, message="redirected"
        )
    return response
