"""Ollama's API: /api/chat and what goes with it."""
