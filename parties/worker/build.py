"""From a party's settings to a service: the one place where a user's task is imported."""

from assistlearn.tasks import load_task
from assistlearn.training import choose_device, set_threads, use_deterministic
from parties.directory import PartyDirectory
from parties.worker.service import WorkerService
from protocols.roles import Role


def build_service(directory: PartyDirectory) -> WorkerService:
    """A worker for the party in ``directory``.

    Raises:
        ConfigError, TaskError, DataError, DeviceError: the settings, the task or its data are
            not in order.
    """
    settings = directory.settings.task
    device = choose_device(settings.device)
    set_threads(settings.threads)
    use_deterministic(device)
    task = load_task(
        settings.factory,
        settings.settings,
        device=settings.device,
        precision=settings.precision,
        seed=settings.seed,
    )
    return WorkerService(
        task,
        role=Role(directory.settings.role),
        rounds=directory.rounds,
        wire_dtype=settings.wire_dtype,
        seed=settings.seed,
    )
