"""All checks, in the order an operator wants to read them."""

from __future__ import annotations

import asyncio

from miner.chain.client import create_chain
from miner.doctor import asked, host, keys, models, network, subnet
from miner.doctor.finding import Finding
from miner.doctor.honoured import honoured, notices
from miner.servers.gpus import driver_here, gpus_here
from miner.settings import Settings
from miner.share import free_bytes


async def here(settings: Settings) -> list[Finding]:
    """What can be seen without asking anybody else: also done at every start of the miner."""
    data = settings.data.path
    gpus = await gpus_here()
    return [
        host.python(),
        host.libraries(),
        host.device(
            settings.neuron.image_detector_device, gpus, host.version_of("torch"), await driver_here()
        ),
        host.attention(gpus),
        host.memory(free_bytes()),
        host.disk(data),
        host.writable(data),
        host.files(settings.wire.connections),
        network.ipv6(settings.axon),
        keys.coldkey(settings.wallet),
        models.cascade(settings.cascade, settings.model),
        models.certificate(settings.cascade, settings.model),
        await asyncio.to_thread(honoured, settings),
    ]


async def examine(settings: Settings) -> list[Finding]:
    """Everything, the chain and the servers included. Changes nothing anywhere."""
    found = [*await here(settings), notices(settings), asked.challenges(settings.data.path)]
    local = settings.subtensor.network == "local"
    for number, _ in enumerate(settings.wallet.names):
        axon = settings.axon.of(number)
        found.append(network.port(axon, settings.data.path))
        found.append(await network.reachable(axon, settings.data.path, local=local))
    found += await models.servers(settings.servers)
    seen = [keys.hotkey(settings.wallet, name) for name in settings.wallet.names]
    chain = create_chain(settings.subtensor, settings.netuid, settings.data.path)
    try:
        first = await subnet.look(chain, seen[0][1])
        others = [await subnet.place(chain, address) for _, address in seen[1:]]
        return [*found, *(key for key, _ in seen), *first, *others]
    finally:
        await chain.close()
