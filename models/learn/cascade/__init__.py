"""The shipped cascade's fusion, deferral and certificate: `python -m models.learn.cascade --help`.

`figures`   MCC and reward with intervals, of members, fusions and plans
`decide`    from what the members said out of fold to the files
`card`      what came out, in words
"""
