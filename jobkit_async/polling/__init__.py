"""Waiting for many remote jobs: whom to ask, when, and what the answers mean."""
