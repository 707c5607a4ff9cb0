"""Recordings in other formats: sequence folders and RealSense files, from whatever can be played."""
