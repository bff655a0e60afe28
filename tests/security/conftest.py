"""Attackers for all tests of this folder."""

from __future__ import annotations

from security.tenants import ground, tenant

__all__ = ["ground", "tenant"]
