"""The public names of the package, which are imported when they are first used."""

from importlib import import_module

import pytest

import asyncckpt

from support.programs import Ran, checked_program, program, run_program


@pytest.mark.parametrize("name", asyncckpt.__all__)
def test_every_public_name_can_be_imported(name: str) -> None:
    assert getattr(asyncckpt, name) is not None
    assert name in dir(asyncckpt)


def test_the_names_and_their_modules_agree() -> None:
    assert {*asyncckpt._MODULES, "__version__"} == {*asyncckpt.__all__}
    for name, module in asyncckpt._MODULES.items():
        assert getattr(asyncckpt, name) is getattr(import_module(module), name)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'asyncckpt' has no attribute 'nothing'"):
        _ = asyncckpt.nothing  # type: ignore[attr-defined]


@pytest.mark.parametrize("module", ["asyncckpt.export", "asyncckpt.records", "asyncckpt.testing"])
def test_an_unknown_name_in_a_package_is_an_attribute_error(module: str) -> None:
    with pytest.raises(AttributeError, match=f"module '{module}' has no attribute 'nothing'"):
        _ = import_module(module).nothing


@pytest.mark.parametrize(
    "name",
    [
        "export.write",
        "records.FineTuningJob",
        "records.converter",
        "testing.faults",
        "testing.limiters",
    ],
)
def test_a_name_in_a_package_is_imported_on_first_use(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    package, _, attribute = f"asyncckpt.{name}".rpartition(".")
    module = import_module(package)
    before = getattr(module, attribute)
    assert attribute in module.__all__
    monkeypatch.delitem(vars(module), attribute, raising=False)
    assert getattr(module, attribute) is before


def test_a_star_import_gives_all_of_them() -> None:
    names: dict[str, object] = {}
    exec("from asyncckpt import *", names)
    assert {*asyncckpt.__all__} <= names.keys()


def test_importing_the_package_imports_none_of_its_modules() -> None:
    loaded = run_program([*program("imports_of.py"), "asyncckpt"]).out.splitlines()
    assert [name for name in loaded if name.startswith("asyncckpt")] == ["asyncckpt"]


def test_no_more_is_imported_than_a_list_of_checkpoints_needs() -> None:
    assert run_program(checked_program("minimal_imports.py")) == Ran(0, "", "")
