"""What conformance tests, hostile tests and benches share: a subnet, a trivial model, processes, load and attacks."""
