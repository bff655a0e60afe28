"""The pure core: ids, names, catalog, tags, states, errors, desired and observed state. No I/O, no framework."""
