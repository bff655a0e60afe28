"""The only code that acts with more rights than an instance's own: a small set of verbs with plain arguments."""
