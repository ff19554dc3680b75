"""The one error with which the media host refuses a request."""

from __future__ import annotations

from vosctl.errors import RelayError


class RequestError(RelayError):
    """A request cannot be carried out; the message goes back to control, and nothing has changed."""
