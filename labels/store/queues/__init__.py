"""Which sentences wait for whom: free sentences, draws with reservations, relabelling, and everything that waits."""
