"""Recipes, data, the trainer, calibration and export."""
