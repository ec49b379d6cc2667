"""Training of the small VLM: `python -m models.learn.small_vlm --help`.

`samples`  views with what can be said about them     `scenes`  one to six of them as one scene
`fit`      one training run on cached maps            `report`  what came out, and the card
"""
