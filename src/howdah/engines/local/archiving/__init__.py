"""Continuous backup of the servers of this machine: WAL as it is written, base backups by a schedule.

A line (``line.py``) per service. Nothing of it needs root: receivers and base backups are clients of the server, and
run as the control plane's user in sessions of their own, so that they outlive it.
"""
