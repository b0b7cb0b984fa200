"""What can go wrong in a joint computation. Every error has a stable code and says what happened and what to do."""

from __future__ import annotations


class ModelingError(Exception):
    """Base of the tree."""

    code: str = "MODELING_FAILED"


class ArgumentInvalid(ModelingError):
    """A setting is out of its range, or a call came before it can be answered."""

    code = "INVALID_ARGUMENT"


class ParametersUnsafe(ModelingError):
    """Cryptographic parameters are too weak, or fail their own test on this machine."""

    code = "PARAMETERS_UNSAFE"


class DataUnusable(ModelingError):
    """A party's own data cannot be used: a column is constant, a value is not finite, the label is not binary."""

    code = "DATA_UNUSABLE"


class CohortTooSmall(ModelingError):
    """Fewer common subjects than a result may be about."""

    code = "COHORT_TOO_SMALL"


class BudgetExceeded(ModelingError):
    """The computation would tell a party more than the protocol's statement allows; it was not begun."""

    code = "BUDGET_EXCEEDED"


class RangeExceeded(ModelingError):
    """Declared bounds do not fit the fixed-point ring: the result would wrap around. Nothing was sent."""

    code = "RANGE_EXCEEDED"


class PeerFailed(ModelingError):
    """The other party broke off, went silent past the deadline, or its connection was lost."""

    code = "PEER_FAILED"


class ProtocolViolation(ModelingError):
    """The other party sent what the protocol does not have at this place: another message, shape, type or key."""

    code = "PROTOCOL_VIOLATION"


class WorkersFailed(ModelingError):
    """Workers died twice over the same piece of work, most often because memory ran out; or a cluster cannot be reached."""

    code = "WORKERS_FAILED"


class ModelInvalid(ModelingError):
    """A scoring model cannot be used or imported: malformed, inconsistent, or of a form that is not supported."""

    code = "MODEL_INVALID"
