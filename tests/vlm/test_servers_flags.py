"""Flags that the hardware cannot honour are refused with the reason and the nearest that works."""

from __future__ import annotations

import pytest

from miner.servers import ServerSpec, flags
from miner.servers.command import command, environment, write_key
from miner.servers.gpus import Memory, parse, parse_memory
from miner.servers.room import lack, static
from models.residency import Refusal
from models.vlm.secret import Secret

LISTED = """0, NVIDIA H100 80GB HBM3, 81559, 9.0
1, NVIDIA B200, 183359, 10.0
2, NVIDIA A100-SXM4-80GB, 81920, 8.0
nothing to see here
"""
GPUS = parse(LISTED)
H100, B200, A100 = (0,), (1,), (2,)


def spec(**given) -> ServerSpec:
    return ServerSpec(**{"name": "a", "model": "m", "model_path": "org/m", "key_env": None, **given})


def refusal(**given) -> str:
    with pytest.raises(Refusal) as caught:
        flags.check(spec(**given), GPUS)
    return str(caught.value)


def test_nvidia_smi_is_read_line_by_line():
    assert [(i, gpu.name, gpu.capability) for i, gpu in GPUS.items()] == [
        (0, "NVIDIA H100 80GB HBM3", 90),
        (1, "NVIDIA B200", 100),
        (2, "NVIDIA A100-SXM4-80GB", 80),
    ]


def test_nvfp4_kv_on_a_hopper_is_refused_and_fp8_named():
    said = refusal(kv="nvfp4", gpus=H100)
    assert "needs Blackwell" in said and said.endswith("use fp8")
    assert refusal(kv="nvfp4", gpus=(1, 0)) == said
    assert flags.check(spec(kv="nvfp4", gpus=B200), GPUS) == []


def test_fp8_kv_needs_ada():
    assert refusal(kv="fp8", gpus=A100).endswith("use bf16")
    assert flags.check(spec(kv="fp8", gpus=H100), GPUS) == []


def test_nvfp4_weights_on_a_hopper_are_a_remark():
    assert "weight-only" in flags.check(spec(weights="nvfp4", gpus=H100), GPUS)[0]


@pytest.mark.parametrize(
    ("given", "gpus", "sentence"),
    [
        ({"kv-cache-dtype": "nvfp4"}, H100, "the field kv sets it"),
        ({"--tp": 2}, H100, "the field gpus sets it"),
        ({"api_key": "x"}, H100, "the field key_env sets it"),
        ({"cuda-graph-max-bs": 8}, H100, "use cuda-graph-max-bs-decode"),
        ({"enable-lmcache": True}, H100, "issue 4086"),
        ({"enable_hierarchical_cache": True}, H100, "off for pictures"),
        ({"attention-backend": "fa3"}, B200, "use trtllm_mha or none"),
        ({"mm-attention-backend": "fa3"}, B200, "use fa4 or none"),
        ({"fp4-gemm-backend": "flashinfer_cutlass"}, H100, "use marlin"),
        ({"quantization": "nvfp4_online"}, H100, "use fp8"),
        ({}, (7,), "GPU 7 is not seen by nvidia-smi (seen: 0: NVIDIA H100"),
    ],
)
def test_other_flags_that_cannot_be(given, gpus, sentence):
    assert sentence in refusal(flags=given, gpus=gpus)


def test_shares_of_a_gpu_are_given_once():
    first, second = spec(mem_fraction=0.6), spec(name="b", port=4000, mem_fraction=0.5)
    elsewhere = spec(name="c", port=5000, gpus=(1,), mem_fraction=0.9)
    refused = flags.check_shares([first, second, elsewhere])
    assert list(refused) == ["b"] and "more than the 0.37 that the servers before it leave" in refused["b"]


def test_the_command_names_no_key_and_takes_lists_and_objects(tmp_path):
    one = spec(
        key_env="SECRET",
        kv="fp8",
        gpus=(0, 1),
        flags={"trust-remote-code": True, "skip": False, "cuda-graph-bs-decode": [1, 2], "x": {"a": 1}},
    )
    file = write_key(tmp_path / "keys", one, Secret('sk"1'))
    args = command(one, "py", file)
    assert 'sk"1' not in " ".join(args)
    assert file is not None and file.read_text() == 'api-key: "sk\\"1"\n'
    assert file.stat().st_mode & 0o777 == 0o600
    text = " ".join(args)
    for part in ("--kv-cache-dtype fp8_e4m3", "--tp-size 2", "--cuda-graph-bs-decode 1 2", '--x {"a": 1}'):
        assert part in text
    assert "--skip" not in text and args[-1] == '{"a": 1}'
    assert write_key(tmp_path / "keys", one, None) is None and not file.exists()


def test_a_server_gets_neither_our_settings_nor_our_python():
    given = {"SVM_PAGE__TOKEN": "t", "PYTHONPATH": "x", "KEY": "k", "HOME": "h", "CUDA_VISIBLE_DEVICES": "5"}
    made = environment(spec(gpus=(1,), key_env="KEY", env={"A": "b"}), given)
    assert made == {
        "HOME": "h", "PYTHONUNBUFFERED": "1", "A": "b", "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "CUDA_VISIBLE_DEVICES": "1",
    }  # fmt: skip


def test_a_share_of_the_gpu_becomes_a_share_of_what_is_free():
    memory = {0: Memory(80 * 2**30, 41 * 2**30), 1: Memory(80 * 2**30, 61 * 2**30)}
    both = spec(gpus=(0, 1), mem_fraction=0.25)
    assert static(both, memory) == pytest.approx(20 / 40)  # the fullest of its GPUs decides
    assert static(both, {}) == 0.25 and lack(both, {}) == ""
    assert lack(both, memory) == ""
    assert lack(spec(gpus=(1, 0), mem_fraction=0.6), memory).startswith("GPU 0 has 41.0 GiB free")
    cpu = spec(device="cpu", gpus=(), mem_fraction=0.25)
    assert static(cpu, memory) == 0.25 and lack(cpu, memory) == ""


def test_free_memory_is_read_line_by_line():
    assert parse_memory("0, 81559, 80900\n1, N/A, 3\n") == {0: Memory(81559 * 2**20, 80900 * 2**20)}
