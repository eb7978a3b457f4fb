from django.apps import AppConfig


class AgentsConfig(AppConfig):
    name = "agents"

    def ready(self) -> None:
        from agents import automation, deciding, patience
        from conversations import timers
        from conversations.models import Timer
        from conversations.signals import contact_erased, event_recorded

        event_recorded.connect(automation.on_events, dispatch_uid="agents.automation")
        contact_erased.connect(deciding.forget, dispatch_uid="agents.forget")
        timers.register(Timer.Kind.PATIENCE, patience.over)
