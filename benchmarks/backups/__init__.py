"""What benchmarks/backup.py is made of: the contestants, their loads, and what is said of them."""
