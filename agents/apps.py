from django.apps import AppConfig


class AgentsConfig(AppConfig):
    name = "agents"

    def ready(self) -> None:
        from agents import automation, patience
        from conversations import timers
        from conversations.models import Timer
        from conversations.signals import event_recorded

        event_recorded.connect(automation.on_events, dispatch_uid="agents.automation")
        timers.register(Timer.Kind.PATIENCE, patience.over)
