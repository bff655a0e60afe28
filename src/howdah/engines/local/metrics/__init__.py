"""What is measured of this machine's servers."""
