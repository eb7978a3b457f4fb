"""What every view of theirs shares, whoever may call it: what is read, what goes out, their errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, ClassVar, NoReturn

from django.db.models import QuerySet
from django.http import HttpResponseBase
from rest_framework.exceptions import MethodNotAllowed, NotFound, Throttled
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import FormParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.rest.parsing import StrictJSONParser
from integrations.chatwoot.compat import params
from integrations.chatwoot.compat.params import Params
from integrations.chatwoot.errors import exception_handler


class AlwaysJson(DefaultContentNegotiation):
    """What a client says it accepts is no reason to refuse it an answer."""

    def select_renderer(self, request: Any, renderers: Any, format_suffix: Any = None) -> Any:
        return renderers[0], renderers[0].media_type


class TheirView(APIView):
    """What all views of theirs share: what is read, what goes out, and one transaction around it."""

    permission_classes = ()
    parser_classes = (StrictJSONParser, MultiPartParser, FormParser)
    content_negotiation_class = AlwaysJson
    http_method_names = ["get", "post", "patch", "put", "delete", "head"]
    schema = None  # no part of /v1/; docs/platforms/ describes them
    # Their names of our fields, where an error names one.
    field_names: ClassVar[Mapping[str, str]] = {}

    @cached_property
    def params(self) -> Params:
        return params.read(self.request)

    def find(self, rows: QuerySet[Any], **lookup: Any) -> Any:
        """The one row; raises `NotFound`."""
        found = rows.filter(**lookup).first()
        if found is None:
            raise NotFound
        return found

    def get_exception_handler(self) -> Callable[..., Any]:
        return exception_handler

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        method = str(request.method).lower()
        handler = getattr(self, method, None)
        if handler is not None and method in self.http_method_names:
            setattr(self, method, self.inside(handler))
        return super().dispatch(request, *args, **kwargs)

    def inside(self, handler: Callable[..., Response]) -> Callable[..., Response]:
        """The handler in its transaction; an exception leaves it before it is answered. One that is
        returned is answered too, and what was written stays."""
        raise NotImplementedError

    def before_transaction(self) -> None:
        """For what may wait on others (a name's address) and must not hold a transaction."""

    def check_method(self, request: Request) -> str:
        """The method whose handler answers. Raises `MethodNotAllowed`."""
        method = str(request.method).lower()
        method = "get" if method == "head" else method
        if method not in self.http_method_names or getattr(self, method, None) is None:
            raise MethodNotAllowed(method)
        return method

    def throttled(self, request: Request, wait: float | None) -> NoReturn:
        raise Throttled(wait)
