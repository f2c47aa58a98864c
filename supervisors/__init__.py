"""Supervision of actors as OTP defines it."""
