"""APT, adaptive patches for ViTs (arXiv 2510.18091): large patches where a picture says little.

`entropy`   how much a cell says: the entropy of its histogram, over luma and both chromas
`quadtree`  which cells become one token, coarse first; base patches forced where a detector or a band asks
`patches`   a token of a large cell: the resized cell, and a branch over its base patches that starts at zero
`packed`    images of different lengths in one sequence, each attending to itself
`vit`       ViT, DINOv2 and SigLIP of transformers on such sequences
`tower`     the same inside a VLM: the step "apt"
`member`    a retrofitted classifier in the cascade, guided by the boxes of the members before it

The published score is the entropy of luma alone with 512 bins, which a cone of the road's brightness does not
raise at all; ours is the largest of Y, Cb and Cr (`colour=False` gives the published one). Scores depend on
the number of bins: thresholds hold for the 512 they were chosen with.

Training: `python -m models.learn.compression.apt`.

Importing this costs nothing.
"""
