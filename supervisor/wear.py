"""When an instance has served long enough: engines leak, and a fresh process is the cure. Pure."""

from .instance import Instance


def find_wear(instance: Instance, now: float) -> str | None:
    """Return why the instance is to be replaced, None while it may go on. `now` is on the loop's clock."""
    model = instance.config
    if not instance.serving:
        return None
    if 0 < model.recycle_after_jobs <= instance.served:
        return f"it has served {instance.served} jobs (recycle_after_jobs)"
    if 0 < model.recycle_after_seconds <= now - instance.started_at:
        return f"it is {now - instance.started_at:.0f} s old (recycle_after_seconds)"
    used = instance.memory[-1] if instance.memory else 0
    if model.max_memory is not None and used >= model.max_memory.bytes:
        return f"it uses {used / 1e6:.0f} MB of its own, the limit is {model.max_memory} (max_memory)"
    return None
