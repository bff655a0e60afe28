"""The HTTP API: parse, call the control plane, render. Thin by intent; rules live in ``domain`` and ``control``."""
