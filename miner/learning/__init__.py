"""Self-improvement as a part of the miner: labelled pictures in, a memory and candidates out.

`collect`   labelled pictures as files for a learning process
`process`   that process: niced, timed, killed when it takes too long
`streams`   what is watched for drift, out of the ledger
`learner`   what the jobs call
`create`    the learner of a miner, and the memory of its cascade
"""
