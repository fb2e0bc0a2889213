"""Recordings made by others, turned into tapes of ours."""
