"""Figures of merit and reports."""
