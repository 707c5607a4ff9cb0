"""What to draw, as plain arrays, and the process in which Open3D draws it."""
