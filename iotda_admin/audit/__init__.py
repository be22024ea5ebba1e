"""The audit trail: append-only events, each bound to the one before it by its hash."""
