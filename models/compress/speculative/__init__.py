"""SpecVLM: a cheap draft guesses several words of an answer, the model checks them all in one pass.

Two papers share the name (arXiv 2509.11815: a trained one-layer draft with an elastic compressor of its
visual tokens; 2508.16201: a smaller model that sees a tenth of them, without training). What both promise is
kept here by construction: the answer is the model's own greedy one, whatever the draft says.

`loop`    the checking, on any `Reader`
`drafts`  guessers: the same or another model with few visual tokens, words that followed before, a table
          learned from the model's own answers; a trained one comes from `models.learn.compression.draft`

transformers' own assisted generation reads its prompt anew and whole, so it cannot go on from one whose
tokens, positions and caches the other steps have changed: the checking is ours.

For an answer of one word nothing is drafted, and nothing can be gained.

Importing this costs nothing.
"""
