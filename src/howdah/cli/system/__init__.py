"""``howdah system``: Howdah as a service of the operating system, and what its operators do with it now and then."""
