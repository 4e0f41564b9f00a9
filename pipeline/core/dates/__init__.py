"""Calendars, frequencies, time zones, and how dates are written."""
