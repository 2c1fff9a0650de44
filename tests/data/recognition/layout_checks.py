"""What is wrong with a config and its data, asked as the check asks it."""

from vit.check.preflight import preflight
from vit.tasks.assembly import assemble_data, task_spec


def data_faults(config):
    """As text, of the data alone."""
    try:
        return [str(fault) for fault in assemble_data(config, []).faults()]
    except ValueError as error:
        return [str(error)]


def require_fit(config):
    """Raises ValueError where the task is for other data."""
    spec = task_spec(config, [])
    spec.ask(spec.from_data, assemble_data(config, []))


def check_faults(config):
    """The faults of the whole check, as (where, message)."""
    return [(fault.where, fault.message) for fault in preflight(config).faults]
