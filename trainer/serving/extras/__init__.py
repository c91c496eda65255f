"""Requests other than plain predictions: files, explanations, corrections and the protocol of MLflow."""
