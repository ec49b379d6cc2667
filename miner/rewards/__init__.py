"""What the work earns.

`twin`       the score that each validator keeps for us, recomputed from our answers
`onchain`    what the chain paid, epoch by epoch
`history`    the same by day
`economics`  against what the host costs
`chart`      as a picture for a browser
"""
