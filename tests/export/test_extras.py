"""What happens without the packages of an extra."""

import sys
from pathlib import Path

import pytest

from asyncckpt import export
from asyncckpt.export import extras

from support.records import checkpoint


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pyarrow", "pandas", "polars"):
        for module in [m for m in sys.modules if m.partition(".")[0] == name]:
            monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr(extras, "find_spec", lambda name: None)


@pytest.mark.usefixtures("nothing_installed")
class TestWithoutTheExtras:
    async def test_tables_name_theirs(self) -> None:
        with pytest.raises(ImportError, match=r"pip install 'asyncckpt\[arrow\]'") as raised:
            await export.to_arrow([checkpoint()])
        assert raised.value.name == "pyarrow"
        with pytest.raises(ImportError, match=r"needs pandas, .* 'asyncckpt\[pandas\]'"):
            await export.to_pandas([checkpoint()])
        with pytest.raises(ImportError, match=r"needs polars, .* 'asyncckpt\[polars\]'"):
            await export.to_polars([checkpoint()])
        with pytest.raises(ImportError, match=r"needs pyarrow, .* 'asyncckpt\[arrow\]'"):
            await anext(export.record_batches([checkpoint()]))

    @pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
    async def test_nothing_is_read_for_a_file_that_cannot_be_written(
        self, suffix: str, tmp_path: Path
    ) -> None:
        records = iter([checkpoint()])
        with pytest.raises(ImportError, match=r"pip install 'asyncckpt\[arrow\]'"):
            await export.write(records, tmp_path / f"all{suffix}")
        assert next(records) == checkpoint()
        assert not (tmp_path / f"all{suffix}").exists()

    @pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
    async def test_text_needs_none(self, suffix: str, tmp_path: Path) -> None:
        assert await export.write([checkpoint()], tmp_path / f"all{suffix}") == 1
        assert not {"pyarrow", "pandas", "polars"} & sys.modules.keys()


def test_an_installed_package_is_no_error() -> None:
    extras.check_extra("arrow", "pyarrow")
