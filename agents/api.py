"""REST: AI agents, assignment rules, and why a conversation is where it is."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, ClassVar

from django.db.models import Count, Prefetch, QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.mixins import ListModelMixin
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.permissions import Permission
from accounts.rest.views import AccountViewSet, check_match
from agents import addresses, checklist, health, rules, services
from agents.models import Agent, AssignmentRule, Decision
from agents.rules import RuleError
from agents.serializers import (
    AgentChangeSerializer,
    AgentHealthSerializer,
    AgentSerializer,
    ClearTokenSerializer,
    CreatedAgentSerializer,
    DecisionSerializer,
    GraceSerializer,
    MovedSerializer,
    RuleChangeSerializer,
    RuleContentSerializer,
    RuleOrderSerializer,
    RuleSerializer,
    SecretSerializer,
    VerdictSerializer,
)
from conversations.api.conversations import conversations_of
from conversations.models import Delivery, EndpointSecret, Inbox
from conversations.serializers import NothingSerializer

P = Permission


class AgentViewSet(ListModelMixin, AccountViewSet):
    """AI agents. Secret and token are shown once, in the answer that makes them."""

    model = Agent
    serializer_class = AgentSerializer
    fresh_actions = frozenset({"create", "destroy", "rotate_secret", "rotate_token"})
    permissions_by_action: ClassVar[dict[str, Permission]] = {
        "list": P.AGENTS_READ,
        "retrieve": P.AGENTS_READ,
        "health": P.AGENTS_READ,
        "create": P.AGENTS_WRITE,
        "partial_update": P.AGENTS_WRITE,
        "destroy": P.AGENTS_WRITE,
        "restore": P.AGENTS_WRITE,
        "enable": P.AGENTS_WRITE,
        "rotate_secret": P.AGENTS_WRITE,
        "rotate_token": P.AGENTS_WRITE,
        "pause": P.AGENTS_PAUSE,
        "resume": P.AGENTS_WRITE,
        "pause_everywhere": P.AGENTS_PAUSE,
        "resume_everywhere": P.AGENTS_WRITE,
    }

    def before_transaction(self, request: Request) -> None:
        if self.action in ("create", "partial_update"):
            addresses.refuse_bad(request)

    def rows(self) -> QuerySet[Agent]:
        rows = _whole(Agent.objects.all())
        return rows if self.action == "restore" else rows.exclude(state=Agent.State.DELETED)

    def retrieve(self, request: Request, id: str) -> Response:  # noqa: A002 - the address's name
        return self._show(self.get_object())

    @extend_schema(request=AgentChangeSerializer, responses={201: CreatedAgentSerializer})
    def create(self, request: Request) -> Response:
        given = self.shape(AgentChangeSerializer)
        made = services.create_agent(self.account, by=self.member, **given)
        agent: Any = _whole(Agent.objects.all()).get(pk=made.agent.pk)
        agent.secret, agent.token = made.secret, made.token
        return Response(CreatedAgentSerializer(agent).data, status=201)

    @extend_schema(request=AgentChangeSerializer, responses=AgentSerializer)
    def partial_update(self, request: Request, id: str) -> Response:  # noqa: A002
        """With `If-Match`, only if nobody has changed it since (412)."""
        self.find(Agent.objects.all(), id, lock=True)
        agent = self.get_object()
        check_match(request, tag_of(agent))
        given = self.shape(AgentChangeSerializer, partial=True)
        # First, or a hidden address could be guessed by what follows.
        services.check_own(agent, *given)
        if given.get("url", agent.endpoint.url) != agent.endpoint.url:
            self.require_fresh()  # whoever redirects events reads every conversation
        services.change_agent(agent, by=self.member, **given)
        return self._show(self.get_object())

    def destroy(self, request: Request, id: str) -> Response:  # noqa: A002
        """Its open conversations go to people. `restore` takes it back."""
        agent = self.get_object()
        check_match(request, tag_of(agent))
        services.delete_agent(agent, by=self.member)
        return Response(status=204)

    @extend_schema(request=NothingSerializer, responses=MovedSerializer)
    @action(detail=True, methods=["post"])
    def restore(self, request: Request, id: str) -> Response:  # noqa: A002
        """Undo a deletion: what nobody has touched since comes back."""
        self.shape(NothingSerializer)
        return _moved(services.undo_delete(self.get_object(), by=self.member))

    @extend_schema(request=NothingSerializer, responses=MovedSerializer)
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, id: str) -> Response:  # noqa: A002
        """People get its open conversations."""
        self.shape(NothingSerializer)
        return _moved(services.pause_agent(self.get_object(), by=self.member))

    @extend_schema(request=NothingSerializer, responses=MovedSerializer)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, id: str) -> Response:  # noqa: A002
        """It works again, and gets back what nobody has touched since."""
        self.shape(NothingSerializer)
        return _moved(services.resume_agent(self.get_object(), by=self.member))

    @extend_schema(request=NothingSerializer, responses=MovedSerializer)
    @action(detail=False, methods=["post"])
    def pause_everywhere(self, request: Request) -> Response:
        """Silence every AI agent of the account at once."""
        self.shape(NothingSerializer)
        return _moved(services.pause_everywhere(self.account, by=self.member))

    @extend_schema(request=NothingSerializer, responses=MovedSerializer)
    @action(detail=False, methods=["post"])
    def resume_everywhere(self, request: Request) -> Response:
        self.shape(NothingSerializer)
        return _moved(services.resume_everywhere(self.account, by=self.member))

    @extend_schema(request=NothingSerializer, responses=AgentSerializer)
    @action(detail=True, methods=["post"])
    def enable(self, request: Request, id: str) -> Response:  # noqa: A002
        """Switch an endpoint on again that was switched off for failing."""
        self.shape(NothingSerializer)
        services.enable_endpoint(self.get_object(), by=self.member)
        return self._show(self.get_object())

    @extend_schema(request=GraceSerializer, responses=SecretSerializer)
    @action(detail=True, methods=["post"])
    def rotate_secret(self, request: Request, id: str) -> Response:  # noqa: A002
        """A new signing secret; the old one signs beside it for `grace_hours`."""
        grace = timedelta(hours=self.shape(GraceSerializer)["grace_hours"])
        secret = services.rotate_secret(self.get_object(), by=self.member, grace=grace)
        return Response({"secret": secret})

    @extend_schema(request=NothingSerializer, responses=ClearTokenSerializer)
    @action(detail=True, methods=["post"])
    def rotate_token(self, request: Request, id: str) -> Response:  # noqa: A002
        """A new API token; the old one ends now."""
        self.shape(NothingSerializer)
        return Response({"token": services.rotate_token(self.get_object(), by=self.member)})

    @extend_schema(responses=AgentHealthSerializer)
    @action(detail=True, methods=["get"])
    def health(self, request: Request, id: str) -> Response:  # noqa: A002
        """Whether it answers, and if it gets nothing, why: `checks` are what has to be right."""
        agent = self.get_object()
        numbers = health.of_all([agent], self.account)[agent.pk]
        since = timezone.now() - timedelta(hours=1)
        counts = (
            Delivery.objects.filter(endpoint=agent.endpoint_id, created_at__gte=since)
            .order_by()
            .values_list("state")
            .annotate(n=Count("pk"))
        )
        shown = {
            "state": agent.state,
            "endpoint": agent.endpoint,
            "open_conversations": numbers.held,
            "deliveries_last_hour": dict(counts),
            "attempts_last_day": numbers.attempts,
            "errors_last_day": numbers.errors,
            "p95_ms": numbers.p95_ms,
            "checks": checklist.of_agent(agent, self.account),
        }
        return Response(AgentHealthSerializer(shown).data)

    def _show(self, agent: Agent) -> Response:
        return self.answer(agent, headers={"ETag": tag_of(agent)})


def _whole(rows: QuerySet[Agent]) -> QuerySet[Agent]:
    """With what is shown of an agent, in a constant number of queries."""
    return rows.select_related("member", "endpoint").prefetch_related(
        Prefetch("inboxes", Inbox.objects.only("pk").order_by("pk")),
        Prefetch("endpoint__secrets", EndpointSecret.objects.defer("sealed")),
    )


def tag_of(agent: Agent) -> str:
    """The state of an agent as people set it; its health changes by itself and does not count."""
    shown = {name: value for name, value in AgentSerializer(agent).data.items() if name != "health"}
    return f'"{hashlib.sha256(JSONRenderer().render(shown)).hexdigest()[:20]}"'


def _moved(count: int) -> Response:
    return Response({"conversations": count})


class RuleViewSet(ListModelMixin, AccountViewSet):
    """Who gets a conversation, in order; `rules/order/` changes the order."""

    model = AssignmentRule
    serializer_class = RuleSerializer
    ordering = ("position", "id")
    permissions_by_action: ClassVar[dict[str, Permission]] = {
        "list": P.RULES_READ,
        "retrieve": P.RULES_READ,
        "create": P.RULES_WRITE,
        "partial_update": P.RULES_WRITE,
        "destroy": P.RULES_WRITE,
        "order": P.RULES_WRITE,
        "check": P.RULES_WRITE,
    }

    def rows(self) -> QuerySet[AssignmentRule]:
        return AssignmentRule.objects.all()

    def retrieve(self, request: Request, id: str) -> Response:  # noqa: A002
        return self._show(self.get_object())

    @extend_schema(request=RuleChangeSerializer, responses={201: RuleSerializer})
    def create(self, request: Request) -> Response:
        """Last in order."""
        with named_errors():
            rule = rules.create_rule(by=self.member, **self.shape(RuleChangeSerializer))
        return self._show(rule, status=201)

    @extend_schema(request=RuleChangeSerializer, responses=RuleSerializer)
    def partial_update(self, request: Request, id: str) -> Response:  # noqa: A002
        """With `If-Match`, only if nobody has changed it since (412)."""
        rule = self._locked(id)
        changes = self.shape(RuleChangeSerializer, partial=True)
        with named_errors():
            rule = rules.update_rule(rule, by=self.member, **changes)
        return self._show(rule)

    def destroy(self, request: Request, id: str) -> Response:  # noqa: A002
        rules.delete_rule(self._locked(id), by=self.member)
        return Response(status=204)

    @extend_schema(request=RuleOrderSerializer, responses=RuleSerializer(many=True))
    @action(detail=False, methods=["post"], pagination_class=None)
    def order(self, request: Request) -> Response:
        """Put rules into this order; those not named keep theirs, after the named ones."""
        with named_errors():
            rules.order_rules(self.shape(RuleOrderSerializer)["order"], by=self.member)
        return Response(RuleSerializer(self.rows().order_by(*self.ordering), many=True).data)

    @extend_schema(request=RuleContentSerializer, responses=VerdictSerializer)
    @action(detail=False, methods=["post"], url_path="validate")
    def check(self, request: Request) -> Response:
        """Whether a rule could be kept; nothing is. What is wrong is answered as an error (400)."""
        with named_errors():
            rules.check_rule(**self.shape(RuleContentSerializer))
        return Response({"valid": True})

    def _locked(self, public_id: str) -> AssignmentRule:
        rule: AssignmentRule = self.find(self.get_queryset(), public_id, lock=True)
        check_match(self.request, _version_tag(rule))
        return rule

    def _show(self, rule: AssignmentRule, *, status: int = 200) -> Response:
        return self.answer(rule, status=status, headers={"ETag": _version_tag(rule)})


def _version_tag(rule: AssignmentRule) -> str:
    return f'"{rule.version}"'


@contextmanager
def named_errors() -> Iterator[None]:
    """A rule's error names its place, as every other error does."""
    try:
        yield
    except RuleError as error:
        raise ValidationError({error.path: [error.message]}) from error


class DecisionViewSet(ListModelMixin, AccountViewSet):
    """Why: every rule that was looked at, matched or not, with the value that decided."""

    model = Decision
    serializer_class = DecisionSerializer
    permissions_by_action: ClassVar[dict[str, Permission]] = {"list": P.CONVERSATIONS_READ}

    def rows(self) -> QuerySet[Decision]:
        conversation = self.find(
            conversations_of(self.member).only("pk"), self.kwargs["conversation_id"]
        )
        return Decision.objects.filter(conversation=conversation)
