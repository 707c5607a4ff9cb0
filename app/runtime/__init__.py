"""Threads and the hand-offs between them: capture, tracking, statistics. No Qt and no Open3D in here."""
