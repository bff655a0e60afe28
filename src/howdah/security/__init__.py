"""Certificates, SCRAM verifiers, API key secrets, and secrets at rest."""
