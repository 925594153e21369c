"""What waiting costs, measured: ``python -m benchmarks NAME [--json]``; see README.md."""
