"""One module per schema version. A released one never changes."""
