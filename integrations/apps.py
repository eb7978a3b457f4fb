from typing import Any

from django.apps import AppConfig


class IntegrationsConfig(AppConfig):
    name = "integrations"

    def ready(self) -> None:
        from accounts.signals import account_created

        account_created.connect(furnish, dispatch_uid="integrations.furnish")


def furnish(*, account: Any, owner: Any, **_signal: Any) -> None:
    """Receiver of `account_created`."""
    from integrations import services

    services.furnish(account, owner)
