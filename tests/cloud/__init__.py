"""The cloud on one machine: emulators in environments of their own, started when a test asks."""
