"""Every error that a user can meet, one tree.

    HowdahError
    ├── BadRequest            the request breaks a rule that the sentence names
    ├── Unauthorized          no valid key
    ├── Forbidden             a valid key that may not do this
    ├── NotFound              no such thing for this key
    ├── MethodNotAllowed
    ├── Conflict              the present state does not allow it
    ├── PreconditionFailed
    ├── PayloadTooLarge
    ├── UnsupportedMediaType
    ├── TooManyRequests
    ├── NotImplementedYet     a call of the contract that is not built
    ├── Unavailable           stored or refused for now; try again
    └── SetupError            this machine lacks something; the sentence says what and how to get it

Each carries the sentence that the user gets: the field, the rule it broke, and what would be accepted. The HTTP layer
maps a class to a status and a code in one table.
"""


class HowdahError(Exception):
    """Base of all errors with a sentence for the user. ``str(error)`` is that sentence."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class BadRequest(HowdahError): ...


class Unauthorized(HowdahError): ...


class Forbidden(HowdahError): ...


class NotFound(HowdahError): ...


class MethodNotAllowed(HowdahError): ...


class Conflict(HowdahError): ...


class PreconditionFailed(HowdahError): ...


class PayloadTooLarge(HowdahError): ...


class UnsupportedMediaType(HowdahError): ...


class TooManyRequests(HowdahError): ...


class NotImplementedYet(HowdahError): ...


class Unavailable(HowdahError): ...


class SetupError(HowdahError): ...
