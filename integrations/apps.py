from typing import Any

from django.apps import AppConfig


class IntegrationsConfig(AppConfig):
    name = "integrations"

    def ready(self) -> None:
        from accounts.signals import account_created
        from agents import addresses

        addresses.register(address_problem)
        from agents import targets

        targets.register(refuse_target)
        account_created.connect(furnish, dispatch_uid="integrations.furnish")


def refuse_target(url: str) -> str:
    """The address guard's word on an agent's URL, before it is kept."""
    from integrations.addresses import Policy, RefusedUrlError, check_shape

    try:
        check_shape(url, Policy.from_settings())
    except RefusedUrlError as error:
        return str(error)
    return ""


def furnish(*, account: Any, owner: Any, **_signal: Any) -> None:
    """Receiver of `account_created`."""
    from integrations import services

    services.furnish(account, owner)


def address_problem(url: str) -> str:
    """Why we would not connect to `url`, in a sentence (bad inputs 43 to 47)."""
    from integrations.addresses import RefusedUrlError
    from integrations.http import check_url

    try:
        check_url(url)
    except RefusedUrlError as error:
        return str(error)
    return ""
