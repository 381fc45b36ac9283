"""Tracking of people and detection of events from poses."""
