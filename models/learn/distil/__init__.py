"""Learning from a teacher: objectives for `models.learn.tune`.

`soft`      plain distillation from calibrated log-odds
`vl2lite`   from an image-and-text teacher
`teachers`  who teaches
`drawn`     a small image-and-text teacher, learned on rendered scenes
`anchors`   the attributes that a text side is asked about
`settings`  teachers and objectives by name
"""
