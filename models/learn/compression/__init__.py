"""What compression methods must learn before they are of use, on models at hand.

`python -m models.learn.compression.pmod`    routers of the small VLM, and its accuracy before and after
`python -m models.learn.compression.draft`   a one-layer draft for the small VLM's answers
`python -m models.learn.compression.apt`     one epoch of any ViT classifier on adaptive patches

`maps`  what the first two train on: the backbone's maps of training views
"""
