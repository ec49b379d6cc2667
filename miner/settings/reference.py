"""Names that operators of the reference miner have in their start scripts and in `miner.env`.

Each is either the same setting under another name, or has no effect here and says so, or is refused with what
to use instead. Flags that kept their name are in the tree itself and need no entry.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Old:
    """`same`: `note` is the dotted name that means it now. Else `note` says why, or what to use instead."""

    fate: Literal["same", "ignored", "refused"]
    note: str
    is_bool: bool = False


def _same(name: str) -> Old:
    return Old("same", name)


_NO_VIDEO = "video detectors never did anything in the reference miner"
_NO_WANDB = "only validators log to Weights & Biases"
_MODEL_URL = (
    "the reference miner only announced it, no code read it; "
    "to serve that model set model.path to the hub id and model.revision to a commit"
)
_REHEARSE = "there is no mock; a whole subnet on this machine is `make rehearse`"

ENVIRONMENT: dict[str, Old] = {
    "IMAGE_DETECTOR": _same("neuron.image_detector"),
    "IMAGE_DETECTOR_CONFIG": _same("neuron.image_detector_config"),
    "IMAGE_DETECTOR_DEVICE": _same("neuron.image_detector_device"),
    "NETUID": _same("netuid"),
    "SUBTENSOR_NETWORK": _same("subtensor.network"),
    "SUBTENSOR_CHAIN_ENDPOINT": _same("subtensor.chain_endpoint"),
    "WALLET_NAME": _same("wallet.name"),
    "WALLET_HOTKEY": _same("wallet.hotkey"),
    "MINER_AXON_PORT": _same("axon.port"),
    "BLACKLIST_FORCE_VALIDATOR_PERMIT": _same("blacklist.force_validator_permit"),
    "VIDEO_DETECTOR": Old("ignored", _NO_VIDEO),
    "VIDEO_DETECTOR_CONFIG": Old("ignored", _NO_VIDEO),
    "VIDEO_DETECTOR_DEVICE": Old("ignored", _NO_VIDEO),
    "MODEL_URL": Old("ignored", _MODEL_URL),
    "PROXY_CLIENT_URL": Old("ignored", "only validators talk to that server"),
}
"""Names of the reference `miner.env`."""

FLAGS: dict[str, Old] = {
    "model_url": Old("ignored", _MODEL_URL),
    "neuron.video_detector": Old("ignored", _NO_VIDEO),
    "neuron.video_detector_config": Old("ignored", _NO_VIDEO),
    "neuron.video_detector_device": Old("ignored", _NO_VIDEO),
    "neuron.name": Old("ignored", "state lives in data.path; give each miner of a host its own"),
    "neuron.epoch_length": Old("ignored", "miners set no weights"),
    "neuron.events_retention_size": Old("ignored", "data.ledger_days bounds the ledger, by age"),
    "neuron.dont_save_events": Old(
        "ignored", "the ledger is always kept, data.ledger_days long", is_bool=True
    ),
    "wandb.off": Old("ignored", _NO_WANDB, is_bool=True),
    "wandb.offline": Old("ignored", _NO_WANDB, is_bool=True),
    "wandb.notes": Old("ignored", _NO_WANDB),
    "wandb.restart_interval": Old("ignored", _NO_WANDB),
    "wandb.project_name": Old("ignored", _NO_WANDB),
    "wandb.entity": Old("ignored", _NO_WANDB),
    "axon.max_workers": Old("ignored", "nothing waits for a thread pool here"),
    "logging.info": Old("ignored", "it is the usual level", is_bool=True),
    "logging.record_log": Old(
        "ignored", "logs go to stderr, a JSON line per challenge to data.path", is_bool=True
    ),
    "logging.enable_third_party_loggers": Old("ignored", "--logging.trace shows them", is_bool=True),
    "logging.logging_dir": Old("ignored", "the log goes to stderr, everything kept goes to data.path"),
    "no_prompt": Old("ignored", "nothing here ever prompts", is_bool=True),
    "no_version_checking": Old("ignored", "no version is checked", is_bool=True),
    "strict": Old("ignored", "unknown flags are always errors", is_bool=True),
    "config": Old("refused", "YAML is not read; put the settings in an env file and name it with --env-file"),
    "mock": Old("refused", _REHEARSE, is_bool=True),
    "subtensor._mock": Old("refused", _REHEARSE, is_bool=True),
}
"""Flags the reference miner or its SDK took that are no setting of ours."""

SHORT = {"engine": "engine.mode"}
"""Flags that mean a setting by its section alone."""

NONE_MEANS_UNSET = frozenset({"neuron.image_detector_device"})
"""The reference start script passes the text None for what its env file leaves out."""
