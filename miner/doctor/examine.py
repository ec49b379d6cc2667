"""All checks, in the order an operator wants to read them."""

from __future__ import annotations

from miner.chain.client import create_chain
from miner.doctor import host, keys, models, network, subnet
from miner.doctor.finding import Finding
from miner.engine.child import free_bytes
from miner.servers.gpus import gpus_here
from miner.settings import Settings


async def here(settings: Settings) -> list[Finding]:
    """What can be seen without asking anybody else: also done at every start of the miner."""
    data = settings.data.path
    gpus = await gpus_here()
    return [
        host.python(),
        host.libraries(),
        host.device(settings.neuron.image_detector_device, gpus, host.version_of("torch")),
        host.memory(free_bytes()),
        host.disk(data),
        host.writable(data),
        host.files(settings.wire.connections),
        network.ipv6(settings.axon),
        keys.coldkey(settings.wallet),
        models.cascade(settings.cascade, settings.model),
        models.certificate(settings.cascade, settings.model),
    ]


async def examine(settings: Settings) -> list[Finding]:
    """Everything, the chain and the servers included. Changes nothing anywhere."""
    found = await here(settings)
    found.append(network.port(settings.axon, settings.data.path))
    local = settings.subtensor.network == "local"
    found.append(await network.reachable(settings.axon, settings.data.path, local=local))
    found += await models.servers(settings.servers)
    key, address = keys.hotkey(settings.wallet)
    chain = create_chain(settings.subtensor, settings.netuid, settings.data.path)
    try:
        return [*found, key, *await subnet.look(chain, address)]
    finally:
        await chain.close()
