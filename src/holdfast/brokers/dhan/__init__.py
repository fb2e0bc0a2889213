"""The DhanHQ broker over its own wire. Only `app.wiring` and `app.dhan` know this package."""
