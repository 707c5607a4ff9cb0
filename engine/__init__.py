"""What tracks a hand: sensors, networks, the fit, takes. It knows no window."""

import os

# From 1.29 on ONNX Runtime tells its maker what it runs, unless this is set before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
