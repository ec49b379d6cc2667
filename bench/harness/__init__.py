"""Shared by conformance tests, hostile clients and benches: a subnet, a trivial model, load and attacks."""
