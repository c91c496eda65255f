"""Bulk prediction on a Ray cluster, in shards."""
