"""Sweeps: the plan, the ledger of its trials, who proposes them, who runs them. Knows no Hydra."""
