"""Privacy Case Classifier: one Apache Beam graph that scores support cases as PC (privacy case) or NOT_PC.

What stands in `__all__` is public; docs/api.md shows how it is used. Everything else may change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from beam_pcc.config.threads import choose_allocator
from beam_pcc.errors import (
    ConfigurationError,
    LostSightError,
    ModelError,
    PccError,
    RunError,
    SourceError,
    WarehouseError,
)

if TYPE_CHECKING:
    from beam_pcc.config.settings import RunConfig as RunConfig
    from beam_pcc.models.handler import PccModelHandler as PccModelHandler
    from beam_pcc.pipeline.run import run_partition as run
    from beam_pcc.publishing.publish import Outcome as Outcome
    from beam_pcc.sources import ReadCases as ReadCases

choose_allocator()

__version__ = "0.1.0"
__all__ = [
    "ConfigurationError",
    "LostSightError",
    "ModelError",
    "Outcome",
    "PccError",
    "PccModelHandler",
    "ReadCases",
    "RunConfig",
    "RunError",
    "SourceError",
    "WarehouseError",
    "__version__",
    "run",
]
# Imported when it is first asked for: Beam takes seconds, and `beam-pcc --help` must not.
_LATER = {
    "Outcome": ("beam_pcc.publishing.publish", "Outcome"),
    "PccModelHandler": ("beam_pcc.models.handler", "PccModelHandler"),
    "ReadCases": ("beam_pcc.sources", "ReadCases"),
    "RunConfig": ("beam_pcc.config.settings", "RunConfig"),
    "run": ("beam_pcc.pipeline.run", "run_partition"),
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    module, attribute = _LATER[name]
    return getattr(importlib.import_module(module), attribute)
