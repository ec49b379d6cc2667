"""Methods that choose among visual tokens, one file each, and the controls beside them."""
