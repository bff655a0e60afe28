"""One module per action: each checks, acts, and may be killed and repeated at any instruction."""
