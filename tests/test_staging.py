"""Where a run stages its rows is tried before it reads any."""

from types import SimpleNamespace

import pytest

from beam_pcc import staging
from beam_pcc.errors import ConfigurationError, RunError
from beam_pcc.staging import StagingArea


class Refused(Exception):
    """As Google's client raises it."""

    def __init__(self, status: int) -> None:
        super().__init__("(0, 'Expected one of', ...)")
        self.response = SimpleNamespace(status_code=status)


@pytest.mark.parametrize(
    ("status", "kind"), [(403, ConfigurationError), (404, ConfigurationError), (429, RunError), (503, RunError)]
)
def test_what_cannot_be_written_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, status: int, kind: type[Exception]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise Refused(status)

    monkeypatch.setattr(staging.FileSystems, "create", refuse)

    with pytest.raises(kind, match=rf"^--staging gs://b/f cannot be written \(HTTP {status}\); check the path"):
        StagingArea("gs://b/f", "run").begin()


def test_what_was_begun_is_removed_with_the_rest(tmp_path) -> None:
    area = StagingArea(str(tmp_path), "run")
    area.begin()
    assert (tmp_path / "run").is_dir()

    area.remove()

    assert not list(tmp_path.iterdir())
