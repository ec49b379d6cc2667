"""People's labels: what to look at next, what was said, and how far it can be trusted."""
