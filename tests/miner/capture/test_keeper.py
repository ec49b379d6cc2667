"""What is kept stays within the bounds, and goes when it is told to."""

import os
import sqlite3
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from capture_kit import NOW, files, keeper, offer, size_on_disk
from hypothesis import given, settings
from hypothesis import strategies as st

from miner.capture.shelf import DAY_NS
from miner.ledger import LEDGER_NAME, Ledger
from miner.ledger.kept import kept
from miner.recorder import Recorder


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / LEDGER_NAME, hotkey="ours")


def rows(data):
    return [row.sha256 for row in kept(data / LEDGER_NAME)]


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(1, 3000)), max_size=40),
    st.integers(1, 9),
    st.integers(500, 9000),
)
def test_the_bounds_hold_at_every_moment(stream, count, size):
    with TemporaryDirectory() as folder:
        data = Path(folder)
        ledger = Ledger(data / LEDGER_NAME)
        keeps = keeper(data, ledger, bytes=size, count=count)
        for place, (name, length) in enumerate(stream):
            keeps.keep(offer(f"picture {name}".encode().ljust(length, b"."), NOW + place))
            assert len(files(data)) == len(keeps.shelf) <= count
            assert size_on_disk(data) == keeps.shelf.bytes <= size
        ledger.close()
        assert sorted(rows(data)) == sorted(path.stem for path in files(data))


def test_the_oldest_go_first_and_labelled_ones_last(tmp_path, ledger):
    keeps = keeper(tmp_path, ledger, count=3)
    first, second, third, fourth = (offer(b"picture %d" % n, NOW + n) for n in range(4))
    for each in (first, second, third):
        keeps.keep(each)
    ledger.label(first.exchange.sha256, "none", source="testnet", reviewer="v")
    ledger.label(second.exchange.sha256, "none", source="pseudo", reviewer="models")
    ledger.write(())
    keeps.keep(fourth)
    ledger.write(())
    assert rows(tmp_path) == [one.exchange.sha256 for one in (first, third, fourth)]


def test_age_has_two_limits(tmp_path, ledger):
    now = [NOW]
    keeps = keeper(tmp_path, ledger, days=10, gold_days=20, clock_ns=lambda: now[0])
    plain, gold = offer(b"plain"), offer(b"gold", NOW + 1)
    keeps.keep(plain)
    keeps.keep(gold)
    ledger.label(gold.exchange.sha256, "roadwork", source="review", reviewer="ann")
    ledger.write(())
    now[0] += 11 * DAY_NS
    assert keeps.expire() == 1
    ledger.write(())
    assert rows(tmp_path) == [gold.exchange.sha256]
    now[0] += 11 * DAY_NS
    assert keeps.expire() == 1
    ledger.write(())
    assert rows(tmp_path) == [] and files(tmp_path) == []


def test_the_same_picture_and_what_looks_like_it_are_kept_once(tmp_path, ledger):
    keeps = keeper(tmp_path, ledger, bits=64)
    assert keeps.keep(offer(b"one")) == "kept"
    assert keeps.keep(offer(b"one")) == "duplicate"
    assert keeps.keep(offer(b"two")) == "duplicate"
    assert keeps.keep(offer(b"bad")) == "refused"
    assert len(files(tmp_path)) == 1


def test_what_a_kill_left_behind_is_put_right(tmp_path, ledger):
    keeps = keeper(tmp_path, ledger)
    for name in (b"both", b"row only", b"file only"):
        keeps.keep(offer(name))
    ledger.write(())
    lost, orphan = offer(b"row only").exchange.sha256, offer(b"file only").exchange.sha256
    next(path for path in files(tmp_path) if path.stem == lost).unlink()
    with sqlite3.connect(tmp_path / LEDGER_NAME) as db:
        db.execute("DELETE FROM captures WHERE sha256 = ?", (orphan,))
    (tmp_path / "capture" / "ab").mkdir(exist_ok=True)
    (tmp_path / "capture" / "ab" / ".half.jpg.part").write_bytes(b"half")
    again = keeper(tmp_path, ledger)
    again.load()
    ledger.write(())
    both = offer(b"both").exchange.sha256
    assert [path.stem for path in files(tmp_path)] == rows(tmp_path) == [both]
    assert again.shelf.names == {both}


def test_smaller_bounds_hold_after_a_restart(tmp_path, ledger):
    keeps = keeper(tmp_path, ledger)
    for n in range(6):
        keeps.keep(offer(b"picture %d" % n, NOW + n))
    ledger.write(())
    smaller = keeper(tmp_path, ledger, count=2)
    smaller.load()
    smaller.expire()
    ledger.write(())
    assert len(files(tmp_path)) == len(rows(tmp_path)) == 2


def test_a_purge_leaves_nothing_and_counts_what_is_left(tmp_path, ledger):
    keeps = keeper(tmp_path, ledger, encrypt=True)
    names = [offer(b"picture %d" % n).exchange.sha256 for n in range(5)]
    for n in range(5):
        keeps.keep(offer(b"picture %d" % n))
    (tmp_path / "capture" / "stray").write_bytes(b"stray")
    recorder = Recorder([ledger], tick_s=0.01)
    recorder.start()
    proof = keeps.purge()
    recorder.stop()
    assert proof == {"files": 6, "rows": 5, "left": 0}
    assert files(tmp_path) == [] and rows(tmp_path) == [] and not (tmp_path / "capture.key").exists()
    on_disk = b"".join(path.read_bytes() for path in tmp_path.glob(LEDGER_NAME + "*"))
    assert not [name for name in names if name.encode() in on_disk], "rows can be read in the file"
    assert keeps.keep(offer(b"picture 1")) == "kept", "and it goes on with a new key"
    ledger.close()


def test_what_is_encrypted_is_of_no_use_without_the_key(tmp_path, ledger):
    from miner.capture import NoPicture, picture

    keeps = keeper(tmp_path, ledger, encrypt=True)
    secret, other = offer(b"a street that somebody lives in"), offer(b"another")
    keeps.keep(secret)
    keeps.keep(other)
    sha256 = secret.exchange.sha256
    assert picture(tmp_path, sha256) == b"a street that somebody lives in"
    key = tmp_path / "capture.key"
    assert key.stat().st_mode & 0o777 == 0o600
    paths = {path.stem: path for path in files(tmp_path)}
    sealed = paths[sha256].read_bytes()
    assert b"street" not in sealed
    paths[sha256].write_bytes(paths[other.exchange.sha256].read_bytes())
    with pytest.raises(NoPicture):
        picture(tmp_path, sha256)
    paths[sha256].write_bytes(sealed)
    key.write_bytes(os.urandom(32))
    with pytest.raises(NoPicture):
        picture(tmp_path, sha256)
    key.unlink()
    with pytest.raises(NoPicture):
        picture(tmp_path, sha256)


def test_a_key_that_others_may_read_is_not_used(tmp_path, ledger):
    keeps = keeper(tmp_path, ledger, encrypt=True)
    keeps.keep(offer(b"one"))
    (tmp_path / "capture.key").chmod(0o644)
    with pytest.raises(OSError, match="chmod 600"):
        keeper(tmp_path, ledger, encrypt=True).keep(offer(b"two"))


def test_what_lies_there_is_counted_before_anything_is_added(tmp_path, ledger):
    first = keeper(tmp_path, ledger)
    for n in range(3):
        first.keep(offer(b"picture %d" % n, NOW + n))
    ledger.write(())
    again = keeper(tmp_path, ledger, count=3)
    assert again.keep(offer(b"one more", NOW + 9)) == "kept"
    assert len(files(tmp_path)) == 3


def test_while_the_ledger_cannot_be_read_nothing_is_added(tmp_path):
    (tmp_path / LEDGER_NAME).write_bytes(b"no ledger at all")
    other = Ledger(tmp_path / "elsewhere.sqlite")
    other.path = tmp_path / LEDGER_NAME
    assert keeper(tmp_path, other).keep(offer(b"one")) == "no_room"
    assert files(tmp_path) == []
