"""Names of versions, by age, and registries that hold the trained one under them."""

import shutil
from pathlib import Path

from beam_pcc.models.registry import Registry

FIRST, SECOND, THIRD = "v20261120_020000", "v20261121_020000", "v20261122_020000"


def copies(registry: Path, folder: Path, *versions: str) -> Path:
    """A registry in the folder with the only version of another one, under each of these names; none is promoted."""
    (trained,) = Registry(str(registry)).versions()
    for version in versions:
        shutil.copytree(registry / trained, folder / version)
    return folder
