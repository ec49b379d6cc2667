"""The shipped cascade's fusion, deferral and certificate: `python -m models.learn.cascade --help`.

`figures`   MCC and reward with intervals, of members, fusions and plans
`members`   the members themselves, in this process
`margins`   the simplest deferral, for comparison
`deferrals` learned deferral, and whether it beats that
`whole`     the cascade as a judge of images
`decide`    from what the members said out of fold to the files
`card`      what came out, in words
"""
