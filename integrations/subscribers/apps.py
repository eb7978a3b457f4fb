from django.apps import AppConfig


class SubscribersConfig(AppConfig):
    """Before `agents` in INSTALLED_APPS: what an event makes rules do are events too, and subscribers
    must hear of the cause first (DL-21)."""

    name = "integrations.subscribers"

    def ready(self) -> None:
        from conversations.signals import contacts_changed, event_recorded, typing_noted
        from integrations.subscribers import telling

        event_recorded.connect(telling.on_events, dispatch_uid="integrations.subscribers")
        contacts_changed.connect(telling.on_contacts, dispatch_uid="integrations.subscribers")
        typing_noted.connect(telling.on_typing, dispatch_uid="integrations.subscribers")
