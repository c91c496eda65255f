"""The queues of the store: free sentences, draws and reservations, relabelling, skipped sentences and open windows."""
