"""A closer look, learned: `python -m models.learn.zoom --help`.

`looks`  parts of challenges as seen by networks that never saw their sequences
`head`   the reward head, and the search replayed
`steps`  what each way of looking closer adds per millisecond
"""
