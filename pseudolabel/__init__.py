"""The machine proposes: engine, store, calibration, composite masks, report."""
