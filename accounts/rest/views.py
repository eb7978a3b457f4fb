"""The base of every resource: one account, declared permissions, limits, one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar, NoReturn

from django.core.exceptions import ObjectDoesNotExist
from django.db.models import Model, QuerySet
from django.http import HttpResponseBase
from django.utils.translation import gettext as _
from rest_framework.exceptions import (
    APIException,
    MethodNotAllowed,
    NotFound,
    Throttled,
    ValidationError,
)
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.viewsets import GenericViewSet

from accounts import limits
from accounts.audit import called_by
from accounts.auth import request_allows
from accounts.ids import decode
from accounts.limits import Limit, Taken
from accounts.models import Account, ApiToken, Member
from accounts.paging import first_of
from accounts.permissions import Permission
from accounts.proof import lacks_required_factor
from accounts.rest import idempotency, kept
from accounts.rest.pages import CursorPages
from accounts.rest.parsing import check_text
from accounts.sessions import is_fresh
from accounts.tenancy import account_context

PER_ACCOUNT = Limit("api-account", capacity=500, per_second=3000 / 60)
PER_TOKEN = Limit("api-token", capacity=100, per_second=600 / 60)
# How long whoever meets an overloaded account is asked to wait.
OVERLOADED_SECONDS = 10


class ChangedMeanwhileError(APIException):
    """412: somebody else changed it since the caller looked."""

    status_code = 412
    default_code = "changed_meanwhile"

    def __init__(self) -> None:
        super().__init__(_("This was changed meanwhile. Look again first."))


class OverloadedError(Throttled):
    """429: more waits in this account than its soft limit allows."""

    default_code = "overloaded"

    def __init__(self) -> None:
        super().__init__(OVERLOADED_SECONDS, _("Too much waits in this account. Try again later."))


class FreshFactorRequiredError(APIException):
    """403: the session is this person's, and proved too long ago for a sensitive act (SX-43)."""

    status_code = 403
    default_code = "fresh_factor_required"

    def __init__(self) -> None:
        super().__init__(
            _(
                "Show first that it is you: POST your code (without a second factor your password)"
                " as “proof” to /v1/auth/confirm/, then repeat this call within ten minutes."
            )
        )


class FactorRequiredError(APIException):
    """403: the account wants a second factor of its owners and admins."""

    status_code = 403
    default_code = "factor_required"

    def __init__(self) -> None:
        super().__init__(
            _("This account asks its owners and admins for a second factor. Switch yours on first.")
        )


class AccountViewSet(GenericViewSet[Any]):
    """A resource of one account.

    A subclass names `model`, `permissions_by_action` (what is not named is refused, SX-20) and
    `rows()`; plain lists and rows come from DRF's mixins. Handlers run in one transaction inside the account's context. A handler may *return* an
    `APIException` instead of raising it: then the refusal is answered and what was written stays.
    """

    model: ClassVar[type[Model]]
    permissions_by_action: ClassVar[dict[str, Permission]] = {}
    # Sensitive acts: with a session they want a fresh proof (SX-43); tokens are judged by scopes.
    fresh_actions: ClassVar[frozenset[str]] = frozenset()
    # Acts that put something on the account's pile; refused while it is too high (DL-93).
    piling_actions: ClassVar[frozenset[str]] = frozenset()
    # Names that may stand in the query string of an action that is no filtered list.
    query_by_action: ClassVar[dict[str, frozenset[str]]] = {}
    ordering: ClassVar[tuple[str, ...]] = ("-id",)
    pagination_class = CursorPages
    lookup_field = "id"
    lookup_value_regex = r"[A-Za-z0-9_-]{1,80}"
    taken: Taken | None = None

    # --- What subclasses use ----------------------------------------------------------------------

    @property
    def member(self) -> Member:
        """Who asks: a person, or an AI agent."""
        member: Member = self.request._request.member  # type: ignore[attr-defined]
        return member

    @property
    def account(self) -> Account:
        account: Account = self.request._request.account  # type: ignore[attr-defined]
        return account

    def may(self, permission: Permission) -> bool:
        """Whether the caller also has another permission than the action's own."""
        return request_allows(self.request, permission)

    @property
    def proved(self) -> bool:
        """Whether sensitive things may be shown and done: always by a token, as its scopes say."""
        return isinstance(self.request.auth, ApiToken) or is_fresh(self.request.session)

    def require_fresh(self) -> None:
        """For acts that are sensitive in some cases only. Raises `FreshFactorRequiredError`."""
        if not self.proved:
            raise FreshFactorRequiredError

    def rows(self) -> QuerySet[Any]:
        """The rows this caller may see, with what the serializer reads."""
        raise NotImplementedError

    def get_queryset(self) -> QuerySet[Any]:
        if getattr(self, "swagger_fake_view", False):
            return self.model._base_manager.none()
        return self.rows()

    def get_object(self) -> Any:
        """The row of the address, or 404: the same for a foreign one as for none (SX-08)."""
        return self.find(self.get_queryset(), self.kwargs["id"])

    def find(self, rows: QuerySet[Any], public_id: str, *, lock: bool = False) -> Any:
        """The row of `rows` with this opaque id; raises `NotFound`."""
        prefix: str = rows.model.public_id
        if lock:
            rows = rows.select_for_update(of=("self",))
        try:
            return rows.get(pk=decode(prefix, public_id))
        except (ValueError, ObjectDoesNotExist):
            raise NotFound from None

    def page(self, rows: QuerySet[Any] | None = None) -> Response:
        """One cursor page of the filtered rows."""
        if rows is None:
            rows = self.filter_queryset(self.get_queryset())
        found = self.paginate_queryset(rows)
        return self.get_paginated_response(self.shown(found or []))

    def page_of(self, rows: QuerySet[Any], n: int) -> list[Any]:
        """The first `n` of these."""
        return list(first_of(rows, n))

    def shape(self, serializer: type[BaseSerializer[Any]], **kwargs: Any) -> dict[str, Any]:
        """The validated request body."""
        data, context = self.request.data, self.get_serializer_context()
        if not kwargs:
            return kept.read(serializer, data, context)
        read = serializer(data=data, context=context, **kwargs)
        read.is_valid(raise_exception=True)
        values: dict[str, Any] = read.validated_data
        return values

    def answer(
        self, row: Any, *, status: int = 200, headers: dict[str, str] | None = None
    ) -> Response:
        """The row as this view's serializer shows it."""
        return Response(self.shown([row])[0], status=status, headers=headers)

    def shown(self, rows: Iterable[Any]) -> list[dict[str, Any]]:
        return kept.show(self.get_serializer_class(), rows, self.get_serializer_context())

    def before_transaction(self, request: Request) -> None:
        """For what may wait on others (a name's address) and must not hold a transaction."""

    # --- The request ------------------------------------------------------------------------------

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        method = str(request.method).lower()
        handler = getattr(self, method, None)
        if handler is not None and method in self.http_method_names:
            setattr(self, method, self._inside(handler))
        return super().dispatch(request, *args, **kwargs)

    def _inside(self, handler: Callable[..., Response]) -> Callable[..., Response]:
        """The handler in its transaction; an exception leaves the transaction before it is answered."""

        def run(request: Request, *args: Any, **kwargs: Any) -> Response:
            self.before_transaction(request)
            token = request.auth if isinstance(request.auth, ApiToken) else None
            with account_context(self.account), called_by(request._request, token):
                if request.method == "POST":
                    answer = idempotency.once(request, lambda: handler(request, *args, **kwargs))
                else:
                    answer = handler(request, *args, **kwargs)
            if isinstance(answer, APIException):
                raise answer
            return answer

        return run

    def check_permissions(self, request: Request) -> None:
        if not getattr(self, "action", None) or self.action == "metadata":
            raise MethodNotAllowed(str(request.method))
        super().check_permissions(request)
        if isinstance(request.auth, ApiToken):
            return
        if lacks_required_factor(self.member):
            raise FactorRequiredError
        if self.action in self.fresh_actions:
            self.require_fresh()

    def check_throttles(self, request: Request) -> None:
        """Outside any transaction, so that no bucket stays locked while the request runs."""
        owner = idempotency.owner_of(request)
        self.taken = limits.take_all(
            [(PER_ACCOUNT, str(self.account.pk)), (PER_TOKEN, f"{self.account.pk}:{owner}")]
        )
        if not self.taken.allowed:
            self.throttled(request, self.taken.wait)
        if self.action in self.piling_actions and self.account.overloaded_since is not None:
            raise OverloadedError

    def throttled(self, request: Request, wait: float) -> NoReturn:
        raise Throttled(wait)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        self._check_query(request)

    def _check_query(self, request: Request) -> None:
        """An unknown name in the query string is an error, not a filter that silently does nothing."""
        known = self.query_by_action.get(self.action, frozenset())
        if self.action == "list" or getattr(self, "is_page", False):
            filters: Any = getattr(self, "filterset_class", None)
            known |= {"cursor", "limit"} | frozenset(filters.base_filters if filters else ())
        for name, values in request.query_params.lists():
            if name not in known:
                raise ValidationError({name[:60]: [_("There is no such parameter.")]})
            check_text(name, *values)

    def finalize_response(self, request: Any, response: Any, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(request, response, *args, **kwargs)
        if self.taken is not None:
            limit, remaining = self.taken.limit, max(0, self.taken.remaining)
            response["RateLimit-Limit"] = str(int(limit.capacity))
            response["RateLimit-Remaining"] = str(int(remaining))
            response["RateLimit-Reset"] = str(
                int((limit.capacity - remaining) / limit.per_second) + 1
            )
        return response


def check_match(request: Request, tag: str) -> None:
    """`If-Match`: raises `ChangedMeanwhileError` when the caller looked at another state."""
    wanted = request.headers.get("If-Match")
    if wanted is None or wanted.strip() == "*":
        return
    if tag not in {part.strip().removeprefix("W/") for part in wanted.split(",")}:
        raise ChangedMeanwhileError
