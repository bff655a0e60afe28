"""Real Postgres servers on this machine."""
