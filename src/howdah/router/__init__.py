"""The router: its own process between Postgres clients and servers. It reads the name in a client's TLS ClientHello,
looks it up in the route table and copies bytes. It holds no keys and sees no plaintext."""
