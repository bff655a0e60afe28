"""The archive: what lies in it, what can be restored from it. Knows neither servers nor the store."""
