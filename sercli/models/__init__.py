"""Torch models: the log-mel front end and the students."""
