"""Networks of the embedded members, written out: what transformers computes, without importing it.

Its model machinery takes several times as long to import as torch, and a miner that has just started answers
nobody meanwhile. Parts and weights have transformers' names, operations are the same in the same order: a
checkpoint loads either way and says the same (`tests/models/native`). Whatever is not written out here goes
to transformers.

`mobilenet` MobileNetV2 classifiers; `llama` the decoder of the small VLM.
"""
