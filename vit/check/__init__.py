"""The check: every fault of a run's config and data, before the first step is paid for."""
