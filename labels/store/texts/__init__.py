"""The identity, versions, removal and division of the documents in a store."""
