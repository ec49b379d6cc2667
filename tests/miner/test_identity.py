"""Only a readable, unencrypted hotkey file starts the miner; everything else ends in one sentence."""

import bittensor
import pytest

from miner.identity import IdentityError, load_hotkey
from miner.settings import Wallet


def wallet(folder, **create):
    made = bittensor.Wallet(name="w", hotkey="h", path=str(folder))
    made.create_new_hotkey(suppress=True, **create)
    return made


def test_reads_the_hotkey_without_any_coldkey(tmp_path):
    made = wallet(tmp_path)
    ours = load_hotkey(Wallet(name="w", hotkey="h", path=tmp_path))
    assert ours.ss58_address == made.hotkey.ss58_address
    assert not (tmp_path / "w" / "coldkey").exists()


def test_missing_file_says_how_to_create_it(tmp_path):
    with pytest.raises(IdentityError, match=r"no hotkey file at .*btcli .*wallet new-hotkey"):
        load_hotkey(Wallet(name="w", hotkey="h", path=tmp_path))


def test_encrypted_hotkey_is_refused(tmp_path):
    wallet(tmp_path, use_password=True, hotkey_password="secret")
    with pytest.raises(IdentityError, match="is encrypted"):
        load_hotkey(Wallet(name="w", hotkey="h", path=tmp_path))


def test_garbage_is_refused(tmp_path):
    (tmp_path / "w" / "hotkeys").mkdir(parents=True)
    (tmp_path / "w" / "hotkeys" / "h").write_text("garbage")
    with pytest.raises(IdentityError, match="cannot be read"):
        load_hotkey(Wallet(name="w", hotkey="h", path=tmp_path))
