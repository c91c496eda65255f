"""Maintain a store: backups, names of annotators, and warnings about risky folders."""
