"""What the work earns.

`twin`       the score that each validator keeps for us, recomputed from our answers
`onchain`    what the chain paid, epoch by epoch
`history`    the same by day
`economics`  against what the host costs
`chart`      as a picture for a browser
"""

from miner.rewards.onchain import Payout, alpha_per_day, payout, tao_per_day
from miner.rewards.twin import Twin, expected_reward, weights_of

__all__ = ["Payout", "Twin", "alpha_per_day", "expected_reward", "payout", "tao_per_day", "weights_of"]
