"""Drills: the latest backup of a service, restored where nobody uses it, checked, and thrown away."""
