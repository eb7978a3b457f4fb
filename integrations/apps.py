from typing import Any

from django.apps import AppConfig


class IntegrationsConfig(AppConfig):
    name = "integrations"

    def ready(self) -> None:
        from accounts.signals import account_created
        from agents import addresses
        from conversations.signals import contact_erased

        addresses.register(address_problem)
        account_created.connect(furnish, dispatch_uid="integrations.furnish")
        contact_erased.connect(forget_receipts, dispatch_uid="integrations.forget_receipts")


def furnish(*, account: Any, owner: Any, **_signal: Any) -> None:
    """Receiver of `account_created`."""
    from integrations import services

    services.furnish(account, owner)


def forget_receipts(*, contact: Any, conversations: Any, **_signal: Any) -> None:
    """Receiver of `contact_erased`."""
    from integrations import erasing

    erasing.forget_receipts(contact, conversations)


def address_problem(url: str) -> str:
    """Why we would not connect to `url`, in a sentence (bad inputs 43 to 47)."""
    from integrations.addresses import RefusedUrlError
    from integrations.http import check_url

    try:
        check_url(url)
    except RefusedUrlError as error:
        return str(error)
    return ""
