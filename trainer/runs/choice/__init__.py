"""Choice between models: reading their predictions, comparing them, and promoting one to champion."""
