"""Training of any image classifier that transformers (or timm) knows: `python -m models.learn.tune --help`.

`backbone`  a checkpoint opened for two labels, and how it is shown images
`lora`      low-rank changes of its weights
`method`    what of it is trained: the head, low-rank changes, everything
`training`  one run
`export`    the folder that `models.classifier` serves
`whole`     folds, calibration, seeds
"""
