"""The card of a result that was kept."""

import pytest

from assistlearn.errors import PartyDirectoryError
from parties.directory import PartyDirectory
from parties.gate.result import kept_result


@pytest.mark.parametrize("text", [b"round = ?\n", b"round = 1\n", b"\xff\xfe", b""])
def test_a_damaged_card_of_a_result_is_named_with_what_to_do(tmp_path, text):
    directory = PartyDirectory(tmp_path)
    directory.models.mkdir()
    (directory.models / "assisted.safetensors").touch()
    (directory.models / "assisted.toml").write_bytes(text)

    with pytest.raises(PartyDirectoryError, match=r"assisted\.toml is damaged") as caught:
        kept_result(directory)

    assert "elsewhere" in caught.value.hint


def test_a_result_without_its_model_is_named(tmp_path):
    directory = PartyDirectory(tmp_path)
    directory.models.mkdir()
    (directory.models / "assisted.toml").touch()

    with pytest.raises(PartyDirectoryError, match=r"assisted\.safetensors is not there"):
        kept_result(directory)


def test_no_result_is_no_error(tmp_path):
    assert kept_result(PartyDirectory(tmp_path)) is None
