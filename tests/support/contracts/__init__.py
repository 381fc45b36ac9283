"""Tests that every implementation of a protocol must pass; test classes inherit them."""
