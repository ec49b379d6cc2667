"""Learning from labelled traffic, on three clocks: `python -m models.learn.adaptation KIND ...`.

`items`      labelled images on disk, and which of them nobody trains on
`reservoir`  which of them are replayed; `pseudo` which unlabelled ones may join
`embed`      what the model in service makes of them, kept from run to run
`remember`   minutes: the episodic memory
`bias`       daily: temperature and bias; `head` the linear layer
`full`       weekly: all layers, then distilled into the model that serves
`candidate`  the folder that comes of it; `slices` what was forgotten

A process of its own, at low priority, never in the daemon's.
"""
