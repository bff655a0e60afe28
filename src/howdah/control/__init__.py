"""Commands, the reconciler that makes them true, schedules, the route table, and the router process."""
