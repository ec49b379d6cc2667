"""Before and after a change of version: what it would find here. Nothing in here changes anything."""
