"""The tree: one class per section, one line per setting. `Settings()` is the defaults and reads nothing."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr, field_validator

from models.compress.plan import plan

NETWORKS = ("finney", "test", "archive", "local")
VIT_NAMES = {"vit": "ViT", "roadwork": "ViT"}
"""Reference detector names that mean "the ViT": its ROADWORK detector is a gate around the same ViT."""
VIT_CONFIGS = ("vit_roadwork.yaml", "roadwork.yaml")
BASELINE_REPO = "natix-network-org/roadwork"
WEBSOCKET = re.compile(r"wss?://[!-~]+")
RAY = re.compile(r"ray://(local|([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):\d{1,5})")


def expanded(path: Path) -> Path:
    """With "~" and "~name" replaced. Raises ValueError for a name that nobody here has."""
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise ValueError(f"{path} is nobody's home here") from error


ExpandedPath = Annotated[Path, AfterValidator(expanded)]


def _websocket(address: str) -> str:
    if WEBSOCKET.fullmatch(address):
        return address
    raise ValueError("an endpoint is an address that starts with ws:// or wss://, like ws://127.0.0.1:9944")


class Section(BaseModel):
    """A part of the tree. Frozen; unknown names are errors; defaults are checked like anything else."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False, protected_namespaces=()
    )


class Wallet(Section):
    """Which keys are ours"""

    name: str = Field(
        default="default", description="wallet (coldkey) name; only the hotkey file is ever read"
    )
    hotkey: str = Field(default="default", description="hotkey name")
    hotkeys: list[str] = Field(
        default=[],
        description="several hotkeys of the wallet in one miner, instead of wallet.hotkey: each listens on a "
        "port of its own, from axon.port on (docs/operations.md)",
    )
    path: ExpandedPath = Field(default=Path("~/.bittensor/wallets"), description="folder of the wallets")

    @field_validator("hotkeys")
    @classmethod
    def _different(cls, hotkeys: list[str]) -> list[str]:
        if len(set(hotkeys)) == len(hotkeys):
            return hotkeys
        raise ValueError("each hotkey is named once")

    @property
    def names(self) -> list[str]:
        """Of all hotkeys that are served, in the order of their ports."""
        return self.hotkeys or [self.hotkey]


class Subtensor(Section):
    """The chain"""

    network: str = Field(
        default="finney",
        description="finney, test, archive, a ws:// address, or local: a rehearsal's own chain",
    )
    chain_endpoint: str | None = Field(
        default=None, description="ws:// or wss:// endpoint; overrides the network's own"
    )
    fallback_endpoints: list[str] = Field(
        default=[], description="tried in order when the first endpoint fails"
    )
    refresh_s: float = Field(default=60.0, gt=0, description="seconds between two metagraph snapshots")
    timeout_s: float = Field(
        default=20.0, gt=0, description="a chain call that takes longer counts as frozen: reconnect"
    )
    deregistered: Literal["wait", "exit"] = Field(
        default="wait", description="what to do when none of our hotkeys is registered"
    )
    local_file: ExpandedPath | None = Field(
        default=None, description="file of the local chain (default: inside the data folder)"
    )

    @field_validator("network")
    @classmethod
    def _known(cls, network: str) -> str:
        if network in NETWORKS or WEBSOCKET.fullmatch(network):
            return network
        raise ValueError(f"allowed are {', '.join(NETWORKS)}, or an address that starts with ws:// or wss://")

    @field_validator("chain_endpoint")
    @classmethod
    def _address(cls, address: str | None) -> str | None:
        return None if address is None else _websocket(address)

    @field_validator("fallback_endpoints")
    @classmethod
    def _addresses(cls, addresses: list[str]) -> list[str]:
        return [_websocket(address) for address in addresses]


class Axon(Section):
    """The address validators call"""

    port: int = Field(default=8091, ge=1, le=65535, description="port the validators' wire listens on")
    ip: str = Field(default="[::]", description="address to bind; [::] serves IPv4 and IPv6 on one socket")
    external_ip: str | None = Field(
        default=None, description="address published on chain (none: nothing is published)"
    )
    external_port: int | None = Field(
        default=None, ge=1, le=65535, description="port published on chain (default: axon.port)"
    )
    announce: Literal["reachable", "force", "never"] = Field(
        default="reachable",
        description="publish the address when it answers (asked from this host), always, or never",
    )

    @field_validator("external_ip")
    @classmethod
    def _ip(cls, address: str | None) -> str | None:
        if address is None:
            return None
        try:
            return str(ip_address(address.strip("[]")))
        except ValueError:
            raise ValueError("the chain takes an IP address, no name") from None

    def of(self, number: int) -> Axon:
        """The address of the hotkey of this number among several: its ports are as much further."""
        outside = None if self.external_port is None else self.external_port + number
        return self.model_copy(update={"port": self.port + number, "external_port": outside})


class Blacklist(Section):
    """Who is answered"""

    force_validator_permit: bool = Field(
        default=True, description="answer only hotkeys that hold a validator permit"
    )
    allow_non_registered: bool = Field(
        default=False, description="answer hotkeys that are not registered on the subnet"
    )
    min_stake: float = Field(default=1000.0, ge=0, description="least total stake of a caller, in alpha")


class Wire(Section):
    """Limits of the validators' wire"""

    body_bytes: int = Field(default=6 * 2**20, gt=0, description="largest request body")
    image_bytes: int = Field(default=4 * 2**20, gt=0, description="largest encoded image")
    pixels: int = Field(default=25_000_000, gt=0, description="most pixels an image's header may declare")
    header_timeout_s: float = Field(
        default=8.0, gt=0, description="a connection must finish a request's headers in this time"
    )
    body_timeout_s: float = Field(default=5.0, gt=0, description="and its body in this time")
    keep_alive_s: float = Field(
        default=75.0, gt=0, description="idle keep-alive; shorter than a validator's pause loses challenges"
    )
    max_age_s: float = Field(
        default=13.0, gt=0, description="oldest nonce accepted (4 s + the validators' 9 s timeout)"
    )
    max_ahead_s: float = Field(default=4.0, gt=0, description="furthest nonce into the future accepted")
    answer_within_s: float = Field(
        default=7.5, gt=0, lt=60, description="deadline after arrival (the validators wait 9 s)"
    )
    caller_rate: float = Field(
        default=50.0, gt=0, description="requests per second of one verified hotkey, after the signature"
    )
    caller_burst: int = Field(default=200, gt=0, description="burst of the same")
    address_rate: float = Field(
        default=20.0, gt=0, description="failed signature checks per second one address may cause"
    )
    address_burst: int = Field(default=40, gt=0, description="burst of the same")
    connections: int = Field(
        default=2048, gt=0, description="open sockets; past it the oldest that never proved itself is closed"
    )
    unproven_per_address: int = Field(
        default=64, gt=0, description="open sockets of one address that carried no verified request"
    )
    hash_fields: list[str] = Field(
        default=["image"], description="body fields a caller may cover by its signed body hash"
    )


class Model(Section):
    """The image classifier"""

    path: str | None = Field(
        default=None, description="folder or hub id of an image classifier (none: the embedded default)"
    )
    revision: str | None = Field(
        default=None, description="pinned revision (commit) of a hub id; required for one"
    )
    label: str = Field(
        default="Roadwork", description="name of the positive class, found by label, not by position"
    )
    temperature: float | None = Field(
        default=None, gt=0, description="divides the log-odds (none: the model's calibration.json, else 1)"
    )
    threshold: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="the model's own best threshold, moved to 0.5 in the answer (none: its calibration.json)",
    )


class CascadeSection(Section):
    """Which members decide"""

    path: str | None = Field(
        default=None,
        description="folder with a cascade.json (docs/architecture.md); embedded: the one that comes along; "
        "single: the image classifier alone (none: embedded, or single when model.* is set)",
    )
    p95_ms: float | None = Field(
        default=3000.0,
        gt=0,
        description="milliseconds that 95 % of answers should stay under: above it fewer members are asked "
        "(none: everybody is asked under any load)",
    )
    budget_ms: float | None = Field(
        default=None,
        gt=0,
        description="milliseconds of members' compute (GPU time on a GPU) that may be spent per second in "
        "the mean: above it fewer members are asked and shown less (none: no limit)",
    )
    compress: list[str] = Field(
        default=[],
        description="steps that spare tokens, cache or compute in the VLM members that run here "
        "(docs/compression.md), such as divprune 0.5,nvfp4,purekv 0.2",
    )

    @field_validator("compress")
    @classmethod
    def _fits_together(cls, lines: list[str]) -> list[str]:
        plan(lines)
        return lines


class Neuron(Section):
    """Names the reference miner used"""

    image_detector: str = Field(
        default="ViT", description="reference miner's detector name; only the ViT family is accepted"
    )
    image_detector_config: str | None = Field(
        default=None, description="reference miner's config; see model.path"
    )
    image_detector_device: str = Field(
        default="auto", description="where the model runs: auto, cpu, cuda or cuda:N"
    )

    @field_validator("image_detector")
    @classmethod
    def _vit(cls, name: str) -> str:
        if name.lower() == "none":
            raise ValueError("a miner without a model answers nothing; left out, the embedded model serves")
        if name.lower() not in VIT_NAMES:
            raise ValueError(
                "only ViT is known by name; any other classifier is served with --model.path "
                "FOLDER_OR_HUB_ID and, for a hub id, --model.revision COMMIT"
            )
        return VIT_NAMES[name.lower()]

    @field_validator("image_detector_config")
    @classmethod
    def _baseline(cls, name: str | None) -> str | None:
        if name is None or name.lower() in VIT_CONFIGS:
            return name
        raise ValueError(
            "detector YAML files are not read; give what its hf_repo says as --model.path "
            "and pin it with --model.revision COMMIT"
        )

    @field_validator("image_detector_device")
    @classmethod
    def _device(cls, device: str) -> str:
        if re.fullmatch(r"auto|cpu|cuda(:\d{1,2})?", device):
            return device
        raise ValueError("allowed are auto, cpu, cuda and cuda:N")


class EngineSection(Section):
    """Where and how the model runs"""

    mode: str = Field(
        default="child",
        description="where models run: child (a process of ours), thread, or replicas on a Ray cluster "
        "(ray://local or ray://HOST:PORT; docs/scale-out.md); also given as --engine",
    )
    replicas: int = Field(default=1, ge=1, description="Ray replicas that are always there")
    max_replicas: int = Field(
        default=1, ge=1, description="most Ray replicas under load (as many as engine.replicas at least)"
    )
    max_batch: int = Field(default=16, ge=1, description="most images in a micro-batch")
    threads: int = Field(default=0, ge=0, description="compute threads of a CPU child (0: all cores)")
    backend: Literal["auto", "torch", "onnxruntime", "openvino", "graphs"] = Field(
        default="auto",
        description="what a classifier runs on (auto: on a CPU the fastest that is installed and agrees "
        "with torch, found out at the first start, on a GPU torch; graphs: CUDA graphs)",
    )
    decoders: int = Field(default=2, ge=1, description="decoding threads of a child")
    queue: int = Field(default=512, ge=1, description="most requests waiting in the engine")
    heartbeat_s: float = Field(default=1.0, gt=0, description="seconds between two heartbeats of a child")
    hang_s: float = Field(
        default=15.0, gt=0, description="a child silent for this long is killed and respawned"
    )
    cache_s: float = Field(
        default=300.0, ge=0, description="the same image within this window gets the same answer (0: off)"
    )
    cache_items: int = Field(default=4096, ge=1, description="most answers remembered")
    standby: bool = Field(
        default=True, description="keep a CPU child ready for when the main one, or a Ray cluster, is gone"
    )

    @field_validator("mode")
    @classmethod
    def _somewhere(cls, mode: str) -> str:
        if mode in ("child", "thread") or RAY.fullmatch(mode):
            return mode
        raise ValueError(
            "allowed are child, thread, ray://local (a cluster of this machine alone) and ray://HOST:PORT "
            "(a cluster's address, usually port 6379)"
        )


class Servers(Section):
    """VLM servers"""

    file: ExpandedPath | None = Field(
        default=None,
        description="TOML or JSON list of VLM servers, here or elsewhere (docs/vlm-servers.md)",
    )
    python: ExpandedPath = Field(
        default=Path(".venv-sglang/bin/python"),
        description="Python of SGLang's own environment (make sglang-env)",
    )


class RegistrySection(Section):
    """Models that come and go"""

    watch_folder: ExpandedPath | None = Field(
        default=None, description="new versions appear here as TIER/NAME/ (docs/models.md)"
    )
    hub_repo: str | None = Field(
        default=None, description="hub repository (owner/name) whose newest commit is a new version"
    )
    hub_branch: str = Field(default="main", description="its branch")
    hub_tier: str = Field(default="classifier", description="the member that it holds versions of")
    poll_s: float = Field(default=600.0, gt=0, description="seconds between two looks at the sources")
    auto: bool = Field(
        default=True,
        description="try what comes in, and promote what passes the gate (false: only by command)",
    )
    shadow: int = Field(
        default=30, ge=0, description="live challenges a candidate must judge beside the champion"
    )
    shadow_s: float = Field(default=3600.0, gt=0, description="seconds that these may take to come")
    items: int = Field(default=2000, ge=1, description="most labelled pictures a candidate is compared on")
    load_s: float = Field(default=300.0, gt=0, description="seconds a candidate may take to load")
    no_room: Literal["refuse", "unload"] = Field(
        default="refuse",
        description="when two engines do not fit: refuse the swap, or unload while the other members serve",
    )
    warm_s: float = Field(
        default=300.0, ge=0, description="seconds a replaced model stays loaded, for an instant rollback"
    )
    keep: int = Field(default=5, ge=0, description="older versions kept on disk")
    tries: int = Field(
        default=8, ge=1, description="trials of a candidate that proves neither better nor worse"
    )

    @field_validator("hub_repo")
    @classmethod
    def _repository(cls, name: str | None) -> str | None:
        if name is None or re.fullmatch(r"[\w.-]+/[\w.-]+", name):
            return name
        raise ValueError("a repository is owner/name")


class Data(Section):
    """State on disk"""

    path: ExpandedPath = Field(default=Path("~/.streetvision-miner"), description="the one folder of state")
    ledger_days: int = Field(default=90, ge=1, description="rows older than this are pruned")
    backups: int = Field(default=7, ge=0, description="daily copies of the ledger that are kept (0: none)")
    min_free_mb: int = Field(
        default=1024, ge=0, description="with less room on the disk nothing is captured and no copy is made"
    )


class Jobs(Section):
    """What runs by the clock"""

    day_s: float = Field(
        default=86_400.0, gt=0, description="seconds that a day of the schedule lasts; shorter in a rehearsal"
    )


class CaptureSection(Section):
    """Pictures kept to learn from"""

    enabled: bool = Field(
        default=False,
        description="keep pictures of hard cases and a random share, bounded as below (docs/capture.md); "
        "what `capture on` or `capture off` said last goes first",
    )
    bytes: int = Field(
        default=2 * 2**30, gt=0, description="most bytes of all kept pictures; oldest go first"
    )
    count: int = Field(default=20_000, ge=1, le=200_000, description="most kept pictures; oldest go first")
    days: float = Field(default=30.0, gt=0, description="days a picture is kept that nobody labelled")
    gold_days: float = Field(default=365.0, gt=0, description="days one is kept whose label people gave")
    side: int = Field(default=768, ge=64, le=4096, description="longest side of a kept picture, in pixels")
    audit_rate: float = Field(
        default=0.015, ge=0, le=1, description="share of all answers kept at random: the audit"
    )
    near_band: float = Field(
        default=1.0, ge=0, description="an answer whose log-odds are below this is near the threshold"
    )
    near_rate: float = Field(default=1.0, ge=0, le=1, description="share of those that is kept")
    disagree_margin: float = Field(
        default=0.5,
        ge=0,
        description="members disagree when one's log-odds are above it and one's below its negative",
    )
    disagree_rate: float = Field(default=1.0, ge=0, le=1, description="share of those that is kept")
    drift_rate: float = Field(
        default=0.25, ge=0, le=1, description="share of all answers that is kept while the stream shifts"
    )
    duplicate_bits: int = Field(
        default=4,
        ge=-1,
        le=16,
        description="one that differs from a kept picture in so many of 64 bits of its "
        "fingerprint is left out (-1: none is)",
    )
    blur: bool = Field(default=False, description="make faces and number plates coarse that are found")
    encrypt: bool = Field(default=False, description="encrypt kept pictures with the key in the data folder")


class Learning(Section):
    """Getting better from labels"""

    memory: bool = Field(
        default=True, description="answer look-alikes of labelled pictures as they were labelled"
    )
    items: int = Field(
        default=4096, ge=100, le=50_000, description="most labelled pictures remembered and replayed"
    )
    head: str = Field(
        default="17 3 * * *",
        description="when temperature, bias and the last layer are learned anew: five fields of cron, UTC",
    )
    full: str | None = Field(
        default=None,
        description='when all layers are, e.g. "37 4 * * sun" (none: only by `jobs run retrain`; takes hours '
        "of one CPU core)",
    )
    distil: bool = Field(
        default=False, description="after training all layers teach the result once more: twice the time"
    )
    pseudo: bool = Field(
        default=False,
        description="let pictures teach on which three families of models agree and are sure, where audits "
        "by people bound their error by 1 % (docs/learning.md)",
    )
    fresh: int = Field(
        default=20, ge=1, description="new labels after a drift that bring the daily run forward"
    )
    timeout_s: float = Field(
        default=6 * 3600.0, gt=0, description="seconds after which a learning process is ended"
    )
    drift_delta: float = Field(
        default=0.002, gt=0, lt=1, description="chance of a false alarm of drift at each look (ADWIN)"
    )
    watched: int = Field(default=5000, ge=100, description="newest challenges that are watched for drift")


class Review(Section):
    """Labels by people"""

    reviewers: int = Field(default=1, ge=1, le=5, description="how many must agree before a label counts")
    sent_labels: Literal["testnet", "always", "never"] = Field(
        default="testnet",
        description="believe labels sent along with a challenge: on the test network and in rehearsals, "
        "always, or never",
    )
    validator_logs: bool = Field(
        default=False,
        description="allow `review import` of validators' public experiment logs: see that their terms "
        "permit it",
    )


class Rewards(Section):
    """What the work earns"""

    cost_per_hour: float = Field(
        default=0.0, ge=0, description="what the host costs per hour, for rewards --economics"
    )
    tao_price: float = Field(default=0.0, ge=0, description="price of a TAO in the same currency")
    halt_gaps: float = Field(
        default=12.0, gt=1, description="alarm when no challenge came for so many of the usual gaps"
    )
    silent_gaps: float = Field(
        default=5.0, gt=1, description="the same for one validator, by its own usual gap"
    )
    risk_position: int = Field(
        default=8, ge=0, description="alarm when at most so many registrations come before deregistration"
    )


class Alerts(Section):
    """Who is told when an alarm begins or ends"""

    webhook: str | None = Field(
        default=None,
        description="http(s) address that gets each as JSON, as chat services take it; best kept in an env "
        "file, since such addresses hold a secret",
    )
    command: str | None = Field(
        default=None, description="program with its arguments that gets the same JSON on standard input"
    )
    level: Literal["info", "warn", "fail"] = Field(default="warn", description="least level that is told")
    timeout_s: float = Field(default=10.0, gt=0, description="seconds a channel may take")
    retry_s: float = Field(default=5.0, ge=0, description="seconds until a failed one is tried once more")

    @field_validator("webhook")
    @classmethod
    def _address(cls, address: str | None) -> str | None:
        if address is None or re.fullmatch(r"https?://[!-~]+", address):
            return address
        raise ValueError("a webhook is an address that starts with http:// or https://")

    @field_validator("command")
    @classmethod
    def _words(cls, command: str | None) -> str | None:
        if command is not None and not shlex.split(command):
            raise ValueError("a command names a program")
        return command


class Page(Section):
    """The operator's page, metrics and health"""

    host: str = Field(default="127.0.0.1", description="address of the operator's page, metrics and health")
    port: int = Field(default=8092, ge=0, le=65535, description="its port (0: any free one)")
    enabled: bool = Field(default=True, description="serve it")
    allowed_hosts: list[str] = Field(
        default=[], description="names it may be called by, beside localhost and any IP address"
    )
    token: str | None = Field(
        default=None,
        description="what POST /v1/classify wants as Authorization: Bearer (none: it answers this machine "
        "only); best kept in the environment or an env file, where no list of processes shows it",
    )

    @field_validator("token")
    @classmethod
    def _strong(cls, token: str | None) -> str | None:
        if token is None or re.fullmatch(r"[!-~]{16,200}", token):
            return token
        raise ValueError("a token is 16 to 200 printable ASCII characters without spaces")


class Logging(Section):
    """Logs"""

    debug: bool = Field(default=False, description="more lines")
    trace: bool = Field(default=False, description="all lines")
    json_file: bool = Field(default=True, description="one JSON line per challenge in the data folder")


class Tracing(Section):
    """OpenTelemetry"""

    endpoint: str | None = Field(
        default=None,
        description="where traces of challenges go by OTLP over HTTP, e.g. http://127.0.0.1:4318/v1/traces "
        "(none: nowhere; needs the extra otel)",
    )
    share: float = Field(default=1.0, gt=0, le=1, description="share of the challenges that is traced")

    @field_validator("endpoint")
    @classmethod
    def _address(cls, address: str | None) -> str | None:
        if address is None or re.fullmatch(r"https?://[!-~]+", address):
            return address
        raise ValueError("an endpoint is an address that starts with http:// or https://")


class Settings(Section):
    """The tree. `load` in this package fills it; built by hand it holds the defaults and what is given."""

    netuid: int = Field(default=72, ge=0, le=65535, description="subnet (72 on finney, 323 on test)")
    wallet: Wallet = Wallet()
    subtensor: Subtensor = Subtensor()
    axon: Axon = Axon()
    blacklist: Blacklist = Blacklist()
    wire: Wire = Wire()
    neuron: Neuron = Neuron()
    model: Model = Model()
    cascade: CascadeSection = CascadeSection()
    engine: EngineSection = EngineSection()
    servers: Servers = Servers()
    registry: RegistrySection = RegistrySection()
    data: Data = Data()
    jobs: Jobs = Jobs()
    capture: CaptureSection = CaptureSection()
    learning: Learning = Learning()
    review: Review = Review()
    rewards: Rewards = Rewards()
    alerts: Alerts = Alerts()
    page: Page = Page()
    logging: Logging = Logging()
    tracing: Tracing = Tracing()

    _origins: Mapping[str, str] = PrivateAttr(default_factory=dict)
    _notices: tuple[str, ...] = PrivateAttr(default=())

    @property
    def notices(self) -> tuple[str, ...]:
        """Sentences for the operator about what was given: log each as a warning at start."""
        return self._notices

    def origin(self, name: str) -> str:
        """Where a dotted setting came from, in words; "default" when nobody set it."""
        return self._origins.get(name, "default")
