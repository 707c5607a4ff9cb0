"""Takes: recordings in MCAP that always open, also after a crash. No threads in here; app.runtime.recorder has them."""
