"""The drift watch: whether the sentences that a server receives still resemble the model's reference."""
