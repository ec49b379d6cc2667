"""Every setting, one tree: defaults < .env < environment < dotted flags."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Wallet(Section):
    name: str = Field("default", description="wallet (coldkey) name; only the hotkey file is ever read")
    hotkey: str = Field("default", description="hotkey name")
    path: Path = Field(Path("~/.bittensor/wallets"), description="folder of the wallets")


class Subtensor(Section):
    network: str = Field("finney", description="finney, test, or local for the local chain of a rehearsal")
    chain_endpoint: str | None = Field(None, description="ws:// or wss:// endpoint; overrides the network's own")
    fallback_endpoints: list[str] = Field([], description="tried in order when the first endpoint fails")
    refresh_s: float = Field(60.0, gt=0, description="seconds between two metagraph snapshots")
    timeout_s: float = Field(20.0, gt=0, description="a chain call that takes longer counts as frozen: reconnect")
    deregistered: Literal["wait", "exit"] = Field("wait", description="what to do when the hotkey is not registered")
    local_file: Path | None = Field(None, description="file of the local chain (default: inside the data folder)")


class Axon(Section):
    port: int = Field(8091, ge=1, le=65535, description="port the validators' wire listens on")
    ip: str = Field("[::]", description="address to bind; [::] serves IPv4 and IPv6 on one socket")
    external_ip: str | None = Field(None, description="address published on chain (none: nothing is published)")
    external_port: int | None = Field(None, ge=1, le=65535, description="port published on chain (default: axon.port)")
    announce: Literal["reachable", "force", "never"] = Field(
        "reachable", description="publish the address when the port answers from outside, always, or never"
    )


class Blacklist(Section):
    force_validator_permit: bool = Field(True, description="answer only hotkeys that hold a validator permit")
    allow_non_registered: bool = Field(False, description="answer hotkeys that are not registered on the subnet")
    min_stake: float = Field(1000.0, ge=0, description="least total stake of a caller, in alpha")


class Wire(Section):
    body_bytes: int = Field(6 * 2**20, gt=0, description="largest request body")
    image_bytes: int = Field(4 * 2**20, gt=0, description="largest encoded image")
    pixels: int = Field(25_000_000, gt=0, description="most pixels an image's header may declare")
    header_timeout_s: float = Field(8.0, gt=0, description="a connection must finish a request's headers in this time")
    body_timeout_s: float = Field(5.0, gt=0, description="and its body in this time")
    keep_alive_s: float = Field(75.0, gt=0, description="idle keep-alive; shorter than a validator's pause loses challenges")
    max_age_s: float = Field(13.0, gt=0, description="oldest nonce accepted (4 s + the validators' 9 s timeout)")
    max_ahead_s: float = Field(4.0, gt=0, description="furthest nonce into the future accepted")
    answer_within_s: float = Field(7.5, gt=0, lt=60, description="deadline after arrival (the validators wait 9 s)")
    caller_rate: float = Field(50.0, gt=0, description="requests per second of one verified hotkey, after the signature")
    caller_burst: int = Field(200, gt=0, description="burst of the same")
    address_rate: float = Field(20.0, gt=0, description="failed signature checks per second one address may cause")
    address_burst: int = Field(40, gt=0, description="burst of the same")
    connections: int = Field(2048, gt=0, description="open sockets; past it the oldest that never proved itself is closed")
    unproven_per_address: int = Field(64, gt=0, description="open sockets of one address that carried no verified request")
    hash_fields: list[str] = Field(["image"], description="body fields a caller may cover by its signed body hash")


class Model(Section):
    path: str | None = Field(None, description="folder or hub id of an image classifier (none: the embedded default)")
    revision: str | None = Field(None, description="pinned revision (commit) of a hub id; required for one")
    label: str = Field("Roadwork", description="name of the positive class, found by label, not by position")
    temperature: float = Field(1.0, gt=0, description="divides the log-odds")
    threshold: float = Field(0.5, gt=0, lt=1, description="the model's own best threshold; moved to 0.5 in the answer")


class Neuron(Section):
    image_detector: str = Field("ViT", description="reference miner's detector name; only the ViT family is accepted")
    image_detector_config: str | None = Field(None, description="reference miner's config; see model.path")
    image_detector_device: str = Field("auto", description="auto, cpu, cuda or cuda:N")


class EngineSection(Section):
    mode: Literal["child", "thread"] = Field("child", description="where models run: a child process, or a thread")
    max_batch: int = Field(16, ge=1, description="most images in a micro-batch")
    threads: int = Field(0, ge=0, description="compute threads of a CPU child (0: all cores)")
    decoders: int = Field(2, ge=1, description="decoding threads of a child")
    queue: int = Field(512, ge=1, description="most requests waiting in the engine")
    heartbeat_s: float = Field(1.0, gt=0, description="seconds between two heartbeats of a child")
    hang_s: float = Field(15.0, gt=0, description="a child silent for this long is killed and respawned")
    cache_s: float = Field(300.0, ge=0, description="the same image within this window gets the same answer (0: off)")
    cache_items: int = Field(4096, ge=1, description="most answers remembered")
    standby: bool = Field(True, description="keep a CPU child ready when the main one is a GPU")


class Data(Section):
    path: Path = Field(Path("~/.streetvision-miner"), description="the one folder of state")
    ledger_days: int = Field(90, ge=1, description="rows older than this are pruned")


class Page(Section):
    host: str = Field("127.0.0.1", description="address of the operator's page, metrics and health")
    port: int = Field(8092, ge=0, le=65535, description="its port (0: any free one)")
    enabled: bool = Field(True, description="serve it")


class Logging(Section):
    debug: bool = Field(False, description="more lines")
    trace: bool = Field(False, description="all lines")
    json_file: bool = Field(True, description="one JSON line per challenge in the data folder")


class Settings(Section):
    """The tree. The settings helper adds sources, flags, help and the reference miner's names around it."""

    netuid: int = Field(72, ge=0, le=65535, description="subnet")
    wallet: Wallet = Wallet()
    subtensor: Subtensor = Subtensor()
    axon: Axon = Axon()
    blacklist: Blacklist = Blacklist()
    wire: Wire = Wire()
    neuron: Neuron = Neuron()
    model: Model = Model()
    engine: EngineSection = EngineSection()
    data: Data = Data()
    page: Page = Page()
    logging: Logging = Logging()
