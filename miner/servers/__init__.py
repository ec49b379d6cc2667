"""VLM servers: SGLang processes on this host, started and kept alive, and servers elsewhere, watched."""

from miner.servers.fleet import Servers, create_servers
from miner.servers.health import ServerHealth
from miner.servers.metrics import server_metrics
from miner.servers.spec import ServerSpec
from miner.servers.specfile import read_specs

__all__ = ["ServerHealth", "ServerSpec", "Servers", "create_servers", "read_specs", "server_metrics"]
