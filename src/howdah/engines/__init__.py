"""Engines make services exist: ``local`` on this machine."""
