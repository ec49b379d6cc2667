"""Settings: where values come from, what today's operators bring along, what is said when one is wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner.settings import Settings, SettingsError, as_flags, describe, help_page, load
from miner.settings.fields import options, value_at
from miner.settings.reference import ENVIRONMENT, FLAGS

REFERENCE_ENV = """\
# the file setup_env.sh writes, filled in
IMAGE_DETECTOR=ViT
IMAGE_DETECTOR_CONFIG=ViT_roadwork.yaml
VIDEO_DETECTOR=TALL
VIDEO_DETECTOR_CONFIG=tall.yaml

IMAGE_DETECTOR_DEVICE=cpu # Options: cpu, cuda
VIDEO_DETECTOR_DEVICE=cpu

NETUID=323                           # 323 for testnet, 72 for mainnet
SUBTENSOR_NETWORK=test               # Networks: finney, test, local
SUBTENSOR_CHAIN_ENDPOINT=wss://test.example:443
                                     # Endpoints:
WALLET_NAME=alice
WALLET_HOTKEY=

MINER_AXON_PORT=8191
BLACKLIST_FORCE_VALIDATOR_PERMIT=True # Force validator permit for blacklisting
MODEL_URL=alice/roadwork
PROXY_CLIENT_URL=https://proxy.example
"""


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(*argv: str, env: dict[str, str] | None = None, env_file: Path | None = None) -> str:
    with pytest.raises(SettingsError) as caught:
        load(list(argv), env or {}, env_file)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_without_sources_everything_is_at_its_default():
    settings = load([], {})
    assert settings.model_dump() == Settings().model_dump()
    assert settings.netuid == 72 and settings.axon.port == 8091
    assert settings.origin("axon.port") == "default" and settings.notices == ()


@given(set_in=st.sets(st.sampled_from(["file", "environment", "flag"])))
def test_later_sources_win(set_in):
    ports = {"file": 2001, "environment": 3001, "flag": 4001}
    file = Path("some.env")
    file.write_text("SVM_AXON__PORT=2001\n" if "file" in set_in else "# empty\n")
    env = {"SVM_AXON__PORT": "3001"} if "environment" in set_in else {}
    argv = ["--axon.port", "4001"] if "flag" in set_in else []
    settings = load(argv, env, file)
    winner = next((name for name in reversed(ports) if name in set_in), None)
    assert settings.axon.port == ports.get(winner, 8091)
    assert {"file": "some.env", "environment": "environment", "flag": "flag"}.get(winner, "default") in (
        settings.origin("axon.port")
    )


def numbers(option):
    words = ("ge", "gt", "le", "lt")
    bounds = {
        word: getattr(item, word) for item in option.info.metadata for word in words if hasattr(item, word)
    }
    least = bounds.get("ge", bounds.get("gt", 0))
    high = bounds.get("le", bounds.get("lt", least + 1000))
    return least, high, "gt" in bounds, "lt" in bounds


def any_value(option):
    if option.is_bool:
        return st.booleans()
    if option.choices:
        return st.sampled_from(option.choices)
    if option.kind is int:
        least, high, open_low, open_high = numbers(option)
        return st.integers(least + open_low, high - open_high)
    if option.kind is float:
        least, high, open_low, open_high = numbers(option)
        return st.floats(least, high, exclude_min=open_low, exclude_max=open_high, allow_nan=False)
    return None


FREE = [name for name, option in options().items() if any_value(option) is not None]


@given(st.data())
def test_flags_round_trip(data):
    names = data.draw(st.lists(st.sampled_from(FREE), unique=True, max_size=6))
    argv = [f"--{name}={data.draw(any_value(options()[name]))}" for name in names]
    try:
        settings = load(argv, {})
    except SettingsError as error:  # only what no single setting can see may be refused here
        assert any(name in str(error) for name in ("body_bytes", "page.port", "hang_s"))
        return
    again = load(as_flags(settings), {})
    assert again.model_dump() == settings.model_dump()


@pytest.mark.parametrize("name", FREE)
def test_flag_and_environment_name_mean_the_same(name):
    option = options()[name]
    value = value_at(Settings(), name)
    text = str(value) if value is not None else "none"
    assert (
        value_at(load([f"--{name}", text], {}), name) == value_at(load([], {option.env: text}), name) == value
    )


def test_the_reference_env_file_is_read_as_it_is(empty_folder):
    (empty_folder / "miner.env").write_text(REFERENCE_ENV)
    settings = load([], {})
    assert (settings.netuid, settings.axon.port, settings.wallet.name) == (323, 8191, "alice")
    assert settings.wallet.hotkey == "default", "an empty value leaves the default"
    assert settings.subtensor.chain_endpoint == "wss://test.example:443"
    assert settings.neuron.image_detector_device == "cpu"
    assert settings.blacklist.force_validator_permit is True
    said = "\n".join(settings.notices)
    assert "MODEL_URL" in said and "model.revision" in said and "embedded model" in said


def test_systemd_leaves_the_comments_of_the_reference_env_file_in_its_values_and_we_do_not():
    """Its EnvironmentFile= takes off blanks around a value, and nothing else."""
    lines = [line.partition("=") for line in REFERENCE_ENV.splitlines() if not line.lstrip().startswith("#")]
    env = {name: value.strip() for name, equals, value in lines if equals}
    assert "#" in env["NETUID"]
    settings = load([], {**env, "WALLET_HOTKEY": "# which one"})
    assert settings.model_dump() == load([], {}, _file(REFERENCE_ENV)).model_dump()
    assert load([], {"WALLET_NAME": "number#1"}).wallet.name == "number#1"


def _file(text: str) -> Path:
    path = Path("given.env")
    path.write_text(text)
    return path


def test_our_env_file_goes_before_the_reference_one_beside_it(empty_folder):
    (empty_folder / "miner.env").write_text(REFERENCE_ENV)
    (empty_folder / ".env").write_text("SVM_AXON__PORT=9191\nWALLET_NAME=bob\n")
    settings = load([], {})
    assert (settings.netuid, settings.axon.port, settings.wallet.name) == (323, 9191, "bob")


def test_every_name_of_the_reference_env_file_is_known():
    names = {line.split("=")[0] for line in REFERENCE_ENV.splitlines() if "=" in line and line[0].isupper()}
    assert names == set(ENVIRONMENT)


def test_the_reference_start_script_is_understood():
    script = """--neuron.image_detector ViT --neuron.image_detector_config ViT_roadwork.yaml
    --neuron.image_detector_device None --netuid 72 --model_url --subtensor.network finney
    --subtensor.chain_endpoint wss://entry.example:443 --wallet.name a --wallet.hotkey b --axon.port 8091
    --blacklist.force_validator_permit True --logging.debug"""
    settings = load(script.split(), {})
    assert settings.logging.debug and settings.blacklist.force_validator_permit
    assert settings.neuron.image_detector_device == "auto"
    assert settings.origin("wallet.hotkey") == "flag --wallet.hotkey"


@pytest.mark.parametrize(
    "argv",
    [
        ["--blacklist.force_validator_permit", "False"],
        ["--blacklist.force_validator_permit=false"],
        ["--no-blacklist.force_validator_permit"],
        ["--blacklist.force_validator_permit", "--blacklist.force_validator_permit", "no"],
    ],
)
def test_a_boolean_that_says_false_is_false(argv):
    assert load(argv, {}).blacklist.force_validator_permit is False


def test_the_env_file_can_be_named_by_flag_or_environment(empty_folder):
    file = empty_folder / "other.env"
    file.write_text("SVM_NETUID=5\nHF_TOKEN=theirs\nWALET_NAME=typo\n")
    assert load(["--env-file", str(file)], {}).netuid == 5
    settings = load([], {"SVM_ENV_FILE": str(file)})
    assert settings.netuid == 5
    assert any("WALLET_NAME" in notice for notice in settings.notices), "a name close to ours is pointed out"
    assert "does not exist" in refused("--env-file", "missing.env")


def test_our_name_beats_the_reference_name_in_one_source():
    assert load([], {"NETUID": "1", "SVM_NETUID": "2"}).netuid == 2


def test_lists_and_none():
    settings = load(["--subtensor.fallback_endpoints", "ws://a, ws://b", "--axon.external_ip", "none"], {})
    assert settings.subtensor.fallback_endpoints == ["ws://a", "ws://b"] and settings.axon.external_ip is None
    assert load(["--axon.external_ip", "[2001:db8::7]"], {}).axon.external_ip == "2001:db8::7"


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--axon.prot", "1"], "did you mean --axon.port?"),
        (["--port", "1"], "did you mean --axon.port?"),
        (["--walet.name", "x"], "did you mean --wallet.name?"),
        (["--zzzzzz"], "--help"),
        (["--axon.port", "x"], "flag --axon.port is 'x': it must be a whole number from 1 to 65535"),
        (["--axon.port"], "needs a value"),
        (["--engine.mode", "ray"], "child, thread, ray://local"),
        (["--engine", "ray://head"], "ray://HOST:PORT"),
        (["--wire.max_age_s", "inf"], "a number above 0"),
        (["--logging.debug", "maybe"], "true or false"),
        (["--neuron.image_detector", "UCF"], "--model.path"),
        (["--neuron.image_detector", "None"], "embedded model"),
        (["--neuron.image_detector_config", "mine.yaml"], "--model.revision"),
        (["--neuron.image_detector_device", "gpu"], "cuda:N"),
        (["--subtensor.network", "finny"], "finney, test"),
        (["--mock"], "make rehearse"),
        (["--config", "x.yaml"], "--env-file"),
        (["stray"], "not a flag"),
        (["--page.port", "8091"], "another port"),
        (["--model.path", "someone/model"], "--model.revision"),
        (["--wire.image_bytes", "6000000"], "base64"),
        (["--subtensor.chain_endpoint", "127.0.0.1:9944"], "like ws://127.0.0.1:9944"),
        (["--subtensor.fallback_endpoints", "ws://a,b.example"], "ws:// or wss://"),
        (["--axon.external_ip", "miner.example.org"], "an IP address, no name"),
        (["--engine.heartbeat_s", "10"], "more than two beats"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(argv, words):
    assert words in refused(*argv)


def test_an_unknown_name_with_our_prefix_is_an_error_with_the_nearest():
    message = refused(env={"SVM_AXON__PROT": "1"})
    assert "SVM_AXON__PROT" in message and "SVM_AXON__PORT" in message


def test_a_bad_value_names_the_source_it_came_from(empty_folder):
    file = empty_folder / "my.env"
    file.write_text("MINER_AXON_PORT=none\n")
    assert "MINER_AXON_PORT in " in refused(env_file=file) and "my.env" in refused(env_file=file)


@pytest.mark.parametrize("name", [name for name, old in FLAGS.items() if old.fate == "ignored"])
def test_flags_without_effect_are_taken_and_said(name):
    value = [] if FLAGS[name].is_bool else ["text"]
    settings = load([f"--{name}", *value, "--netuid", "9"], {})
    assert settings.netuid == 9 and f"--{name}" in settings.notices[0]


def test_one_model_folder_needs_no_revision(empty_folder):
    assert load(["--model.path", str(empty_folder)], {}).model.path == str(empty_folder)


def test_the_help_page_has_every_setting_with_its_environment_name():
    page = help_page()
    assert all(f"--{name}\n" in page and option.env in page for name, option in options().items())
    assert max(map(len, page.splitlines())) <= 110
    assert all(option.info.description for option in options().values())


def test_describe_says_where_each_value_came_from():
    settings = load(["--axon.port", "9"], {"SVM_NETUID": "3"})
    lines = describe(settings).splitlines()
    assert [line.split() for line in lines] == [
        ["netuid", "3", "SVM_NETUID", "in", "the", "environment"],
        ["axon.port", "9", "flag", "--axon.port"],
    ]
    assert len(describe(settings, everything=True).splitlines()) == len(options())


def test_help_and_version_exit_cleanly(capsys):
    for flag, words in (
        ("--help", "--axon.port"),
        ("-h", "--axon.port"),
        ("--version", "streetvision-miner"),
    ):
        with pytest.raises(SystemExit) as stopped:
            load([flag], {})
        assert stopped.value.code == 0 and words in capsys.readouterr().out


def test_the_example_file_loads_and_names_only_what_exists():
    example = Path(__file__).resolve().parents[2] / "env.example"
    assert load([], {}, example).model_dump() == Settings().model_dump()
    uncommented = "\n".join(
        line.removeprefix("# ") for line in example.read_text().splitlines() if line.startswith("# SVM_")
    )
    Path("all.env").write_text(uncommented)
    load([], {}, Path("all.env"))
    missing = [option.env for option in options().values() if option.env + "=" not in uncommented]
    assert not missing, f"env.example lacks {missing}"


def test_settings_import_nothing_heavy():
    heavy = ("torch", "bittensor", "numpy", "PIL")
    code = f"import sys, miner.settings; print([m for m in {heavy} if m in sys.modules])"
    root = Path(__file__).resolve().parents[2]
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize("token", ["short", "has a space in its middle", "é" * 20, "x" * 201])
def test_a_weak_token_is_refused_without_being_shown(token):
    words = refused(env={"SVM_PAGE__TOKEN": token})
    assert "16 to 200" in words and token not in words


def test_a_token_is_never_shown():
    token = "0123456789abcdef-secret"
    settings = load([], {"SVM_PAGE__TOKEN": token})
    assert settings.page.token == token
    assert "(secret)" in describe(settings) and token not in describe(settings, everything=True)


def test_a_cascade_is_named_or_a_folder_and_refused_at_the_door_when_it_is_neither(tmp_path):
    assert load(["--cascade.path", "single"], {}).cascade.path == "single"
    assert "describes no cascade" in refused("--cascade.path", str(tmp_path))
    (tmp_path / "cascade.json").write_text('{"name": "mine", "tiers": [{"kind": "classifier"}]}')
    assert load(["--cascade.path", str(tmp_path)], {}).cascade.path == str(tmp_path)
    words = refused("--cascade.path", str(tmp_path), "--model.threshold", "0.7")
    assert "the classifier is a tier of 'mine'" in words
