"""Labelling past one machine: the batch code of the runtime on a Ray cluster, its results in shards."""
