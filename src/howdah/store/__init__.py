"""The store: one SQLite file. The only place with SQL. Secrets arrive here sealed."""
